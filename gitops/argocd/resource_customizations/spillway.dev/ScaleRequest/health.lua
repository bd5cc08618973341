-- A purchase that failed is over, and another follows where it is needed.
local hs = {status = "Progressing", message = "Not seen by Spillway yet"}
if obj.status == nil or obj.status.phase == nil then
  return hs
end
hs.message = obj.status.phase
if obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Ready" and condition.message ~= nil and condition.message ~= "" then
      hs.message = obj.status.phase .. ": " .. condition.message
    end
  end
end
local phase = obj.status.phase
if phase == "Ready" or phase == "Released" then
  hs.status = "Healthy"
elseif phase == "Failed" then
  hs.status = "Degraded"
end
return hs
