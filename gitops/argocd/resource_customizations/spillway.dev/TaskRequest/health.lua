-- A task is healthy when it has succeeded; until it has ended it is on its way.
local hs = {status = "Progressing", message = "Not seen by Spillway yet"}
if obj.status == nil or obj.status.phase == nil then
  return hs
end
if obj.status.observedGeneration ~= nil and obj.metadata.generation ~= nil and
   obj.status.observedGeneration < obj.metadata.generation then
  hs.message = "A change was not seen by Spillway yet"
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
if phase == "Succeeded" then
  hs.status = "Healthy"
elseif phase == "Failed" or phase == "Cancelled" then
  hs.status = "Degraded"
elseif phase == "Suspended" then
  hs.status = "Suspended"
end
return hs
