-- It is healthy once Spillway has seen it as it is now; what it can provide is told by its condition.
local hs = {status = "Progressing", message = "Not seen by Spillway yet"}
if obj.status == nil or obj.status.observedGeneration == nil or obj.status.observedGeneration < 0 then
  return hs
end
if obj.metadata.generation ~= nil and obj.status.observedGeneration < obj.metadata.generation then
  hs.message = "A change was not seen by Spillway yet"
  return hs
end
hs.status = "Healthy"
hs.message = ""
if obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Ready" then
      hs.message = condition.message or ""
    end
    if condition.type == "Stalled" and condition.status == "True" then
      hs.status = "Degraded"
    end
  end
end
return hs
