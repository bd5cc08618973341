{{- define "spillway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The release's name, and the chart's unless it is in there. */ -}}
{{- define "spillway.fullname" -}}
{{- $name := include "spillway.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "spillway.instanceLabels" -}}
app.kubernetes.io/name: {{ include "spillway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The operator's pods, and not that of helm test. */ -}}
{{- define "spillway.selectorLabels" -}}
{{ include "spillway.instanceLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "spillway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "spillway.instanceLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: spillway
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "spillway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "spillway.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "spillway.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- define "spillway.imagePullSecrets" -}}
{{- with concat .Values.imagePullSecrets (.Values.global.imagePullSecrets | default list) }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "spillway.subject" -}}
- kind: ServiceAccount
  name: {{ include "spillway.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* Objects of our own kinds that come from values. When the release is first installed, the API server does not know the kinds
yet, and Helm would refuse the whole release: they are made by a hook then, marked as the release's own, and so taken
over by the next upgrade. They are kept at uninstall and by a rollback to the first revision, which does not know them: a pool that goes takes
its servers with it. Takes {root, kind, name, spec}. */ -}}
{{- define "spillway.object" -}}
apiVersion: spillway.dev/v1alpha1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  labels:
    {{- include "spillway.labels" .root | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
    {{- if not (.root.Capabilities.APIVersions.Has (printf "spillway.dev/v1alpha1/%s" .kind)) }}
    meta.helm.sh/release-name: {{ .root.Release.Name }}
    meta.helm.sh/release-namespace: {{ .root.Release.Namespace }}
    helm.sh/hook: post-install,post-upgrade
    helm.sh/hook-delete-policy: hook-failed
    {{- end }}
spec:
  {{- toYaml .spec | nindent 2 }}
{{- end }}
