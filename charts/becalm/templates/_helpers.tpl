{{- define "becalm.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "becalm.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "becalm.name" .) }}
{{- end }}

{{/* A CronJob's name may have 52 characters. */}}
{{- define "becalm.watchdog" -}}
{{- printf "%s-watchdog" (include "becalm.name" . | trunc 43 | trimSuffix "-") }}
{{- end }}

{{- define "becalm.watchdogServiceAccount" -}}
{{- .Values.watchdog.serviceAccount.name | default (include "becalm.watchdog" .) }}
{{- end }}

{{- define "becalm.selector" -}}
app.kubernetes.io/name: becalm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "becalm.labels" -}}
{{ include "becalm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* No registry has the image, so there is no default that could be pulled. */}}
{{- define "becalm.image" -}}
{{- $missing := "image.repository is not set: build the image and push it to a registry that your nodes pull from (README.md, \"Use it\"), then --set image.repository=registry.example.org/becalm" }}
{{- $repository := required $missing .Values.image.repository }}
{{- if .Values.image.digest }}{{ $repository }}@{{ .Values.image.digest }}{{ else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "becalm.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "becalm.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "becalm.environment" -}}
- name: BECALM_IMAGE
  value: {{ include "becalm.image" . | quote }}
- name: BECALM_PULL_POLICY
  value: {{ .Values.image.pullPolicy }}
- name: BECALM_WATCHED_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: BECALM_EXTRA_KINDS
  value: {{ join "," .Values.extraKinds | quote }}
- name: BECALM_MAX_WORKLOADS_DOWN_PER_NAMESPACE
  value: {{ int .Values.limits.maxWorkloadsDownPerNamespace | quote }}
- name: BECALM_MAX_WORKLOADS_DOWN_PER_CLUSTER
  value: {{ int .Values.limits.maxWorkloadsDownPerCluster | quote }}
- name: BECALM_HOOKS
  value: {{ .Values.hooks.enabled | quote }}
- name: BECALM_DUMPS
  value: {{ .Values.dumps.enabled | quote }}
- name: BECALM_METRICS_PORT
  value: {{ .Values.metrics.enabled | ternary (int .Values.metrics.port) 0 | quote }}
- name: BECALM_LOG_FORMAT
  value: {{ .Values.log.format }}
- name: BECALM_LOG_LEVEL
  value: {{ .Values.log.level }}
- name: BECALM_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the operator may do where it looks after workloads. It may not read a Secret: it hands on their names. */}}
{{- define "becalm.rules" -}}
- apiGroups: [becalm.dev]
  resources: [backuprepositories, backupschedules, backups, restores]
  verbs: [get, list, watch, patch]
- apiGroups: [becalm.dev]
  resources: [backups]
  verbs: [create, delete]
- apiGroups: [becalm.dev]
  resources: [backuprepositories/status, backupschedules/status, backups/status, restores/status]
  verbs: [update]
# children may block the deletion of what owns them
- apiGroups: [becalm.dev]
  resources: [backuprepositories/finalizers, backupschedules/finalizers, backups/finalizers, restores/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [list, watch, patch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, patch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [list, patch]
{{ include "becalm.scaleRules" . }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims, events]
  verbs: [list]
# its label says which Pod Security Standard movers have to meet
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.volumeSnapshots.enabled }}
- apiGroups: [snapshot.storage.k8s.io]
  resources: [volumesnapshots]
  verbs: [list, create, delete]
{{- end }}
{{- if .Values.hooks.enabled }}
# commands of hooks; which of the two verbs it takes depends on the version of the API server
- apiGroups: [""]
  resources: [pods/exec]
  verbs: [create, get]
{{- end }}
{{- end }}

{{/* Kinds that need not be there: KEDA's, and those that the user names by their CustomResourceDefinitions. */}}
{{- define "becalm.scaleRules" -}}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list, patch]
{{- range .Values.extraKinds }}
{{- $parts := splitn "." 2 . }}
- apiGroups: [{{ $parts._1 }}]
  resources: [{{ $parts._0 }}]
  verbs: [list, patch]
{{- end }}
{{- end }}

{{/* What the watchdog may do: see what is held down and by whom, start it, and say so. */}}
{{- define "becalm.watchdogRules" -}}
- apiGroups: [becalm.dev]
  resources: [backups, restores]
  verbs: [get, list, patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets, replicasets]
  verbs: [list, patch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [list, patch]
{{ include "becalm.scaleRules" . }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* The roles of a ServiceAccount and their bindings, in the cluster or in each watched namespace: root, name, rules, serviceAccount. */}}
{{- define "becalm.access" -}}
{{- $root := .root }}
{{- $name := printf "%s-%s" $root.Release.Namespace .name }}
{{- $rules := .rules }}
{{- $serviceAccount := .serviceAccount }}
{{- if not $root.Values.watchNamespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  labels: {{- include "becalm.labels" $root | nindent 4 }}
rules: {{- include $rules $root | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  labels: {{- include "becalm.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $name }}
subjects:
- kind: ServiceAccount
  name: {{ $serviceAccount }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- range $root.Values.watchNamespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels: {{- include "becalm.labels" $root | nindent 4 }}
rules: {{- include $rules $root | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels: {{- include "becalm.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
- kind: ServiceAccount
  name: {{ $serviceAccount }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- end }}
