{{/* What every object of a component carries: (list . "server") */}}
{{- define "kms.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: kms
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "kms.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Where a cluster has users of its own, it gives one. */}}
{{- define "kms.podSecurityContext" -}}
runAsNonRoot: true
{{- if not .Values.openshift }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "kms.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas on nodes and in zones of their own, where there are enough. */}}
{{- define "kms.spread" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchExpressions:
          - {key: app, operator: In, values: [{{ . }}]}
topologySpreadConstraints:
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {app: {{ . }}}}
{{- end }}

{{/* Where a component's pods may run, and who pulls: (list . .Values.server) */}}
{{- define "kms.placement" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 0 }}
{{- end }}
{{- with (index . 1).nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).tolerations }}
tolerations: {{ toYaml . | nindent 0 }}
{{- end }}
{{- with (index . 1).priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* The Secret with the keys of the server. */}}
{{- define "kms.keys" -}}
{{- if .Values.server.evaluation.enabled -}}
{{ .Values.server.evaluation.secret | default "kms-evaluation-keys" }}
{{- else -}}
{{ .Values.server.secret }}
{{- end -}}
{{- end }}

{{- define "kms.serverAddress" -}}
{{ ternary "https" "http" (ne .Values.server.tlsSecret "") }}://kms.{{ .Release.Namespace }}.svc:8080
{{- end }}
