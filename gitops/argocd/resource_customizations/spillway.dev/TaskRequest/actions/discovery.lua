local phase = obj.status ~= nil and obj.status.phase or nil
local ended = phase == "Succeeded" or phase == "Failed" or phase == "Cancelled"
local suspended = obj.spec.suspend == true
return {
  suspend = {disabled = ended or suspended},
  resume = {disabled = ended or not suspended},
  cancel = {disabled = ended or obj.spec.cancel == true}
}
