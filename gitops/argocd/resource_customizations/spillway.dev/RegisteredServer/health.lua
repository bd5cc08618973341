-- A server that is full, overloaded or cordoned is as it should be; one whose node does not answer is not.
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
if phase == "Ready" or phase == "Overloaded" then
  hs.status = "Healthy"
elseif phase == "Cordoned" then
  hs.status = "Suspended"
elseif phase == "NotReady" then
  hs.status = "Degraded"
end
return hs
