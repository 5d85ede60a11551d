{{- define "navis-keys.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Cut to 50 characters: suffixes such as -migration must fit into the 63 of a label. */}}
{{- define "navis-keys.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "navis-keys.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "navis-keys.selector" -}}
app.kubernetes.io/name: {{ include "navis-keys.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "navis-keys.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "navis-keys.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: navis-keys
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The Service, the Deployment and the policies select this component: never the pods of Jobs and tests. */}}
{{- define "navis-keys.serviceSelector" -}}
{{ include "navis-keys.selector" . }}
app.kubernetes.io/component: service
{{- end -}}

{{/* The pod of `helm test`, which the NetworkPolicy always lets in. */}}
{{- define "navis-keys.testPeer" -}}
- podSelector:
    matchLabels:
      {{- include "navis-keys.selector" . | nindent 6 }}
      app.kubernetes.io/component: test
{{- end -}}

{{- define "navis-keys.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{- printf "%s:%s@%s" .Values.image.repository $tag .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "navis-keys.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "navis-keys.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed with serviceAccount.create=false." .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Where each secret setting is, as a YAML map: setting -> { name, key }. */}}
{{- define "navis-keys.secrets" -}}
{{- $all := dict -}}
{{- range $setting, $at := .Values.secrets -}}
{{- if and $at (not (and $.Values.embedded.enabled (has $setting (list "DATABASE_URL" "MANAGEMENT_TOKENS")))) -}}
{{- $_ := set $all $setting $at -}}
{{- end -}}
{{- end -}}
{{- if .Values.externalSecrets.enabled -}}
{{- range $setting, $_ := .Values.externalSecrets.remote -}}
{{- $_ := set $all $setting (dict "name" (include "navis-keys.externalSecretName" $) "key" $setting) -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Those of the migration Job: what it needs of the database, and its own on top. */}}
{{- define "navis-keys.migrationSecrets" -}}
{{- $all := dict -}}
{{- range $setting, $at := include "navis-keys.secrets" . | fromYaml -}}
{{- if hasPrefix "DATABASE_" $setting -}}
{{- $_ := set $all $setting $at -}}
{{- end -}}
{{- end -}}
{{- range $setting, $at := .Values.migration.secrets -}}
{{- if $at -}}
{{- $_ := set $all $setting $at -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- define "navis-keys.externalSecretName" -}}
{{- printf "%s-external" (include "navis-keys.fullname" .) -}}
{{- end -}}

{{/* Environment for the secrets and files that are mounted. Context: { secrets, files }. */}}
{{- define "navis-keys.fileEnv" -}}
{{- range $setting, $_ := .secrets }}
- name: {{ $setting }}_FILE
  value: /etc/navis-keys/secrets/{{ $setting }}
{{- end }}
{{- range $setting, $_ := .files }}
- name: {{ $setting }}
  value: /etc/navis-keys/files/{{ $setting }}
{{- end }}
{{- end -}}

{{- define "navis-keys.fileMounts" -}}
{{- if .secrets }}
- name: secrets
  mountPath: /etc/navis-keys/secrets
  readOnly: true
{{- end }}
{{- if .files }}
- name: files
  mountPath: /etc/navis-keys/files
  readOnly: true
{{- end }}
{{- end -}}

{{/* No subPath anywhere: files that change reach the pods. */}}
{{- define "navis-keys.fileVolumes" -}}
{{- with .secrets }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $at := . }}
      - secret:
          name: {{ $at.name }}
          items:
            - key: {{ $at.key }}
              path: {{ $setting }}
      {{- end }}
{{- end }}
{{- with .files }}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $at := . }}
      {{- if $at.secret }}
      - secret:
          name: {{ $at.secret }}
          items:
            - key: {{ $at.key }}
              path: {{ $setting }}
      {{- else }}
      - configMap:
          name: {{ $at.configMap }}
          items:
            - key: {{ $at.key }}
              path: {{ $setting }}
      {{- end }}
      {{- end }}
{{- end }}
{{- end -}}

{{/* Settings as text: 10000 must not become 1e+04. */}}
{{- define "navis-keys.settingEnv" -}}
{{- range $setting, $value := . }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ $setting }}
  value: {{ (kindIs "float64" $value | ternary (int64 $value | toString) (toString $value)) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "navis-keys.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "navis-keys.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{/* What values.schema.json cannot say. */}}
{{- define "navis-keys.check" -}}
{{- $secrets := include "navis-keys.secrets" . | fromYaml -}}
{{- range $setting, $_ := $secrets -}}
{{- if hasKey $.Values.settings $setting -}}
{{- fail (printf "%s stands in settings and in secrets: keep one of them." $setting) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.embedded.enabled -}}
{{- if not (or (hasKey $secrets "DATABASE_URL") (hasKey .Values.settings "DATABASE_HOST")) -}}
{{- fail "Say where Postgres is: secrets.DATABASE_URL, or settings.DATABASE_HOST with secrets.DATABASE_PASSWORD; or embedded.enabled=true for a try-out." -}}
{{- end -}}
{{- if not (hasKey $secrets "MANAGEMENT_TOKENS") -}}
{{- fail "secrets.MANAGEMENT_TOKENS is needed: the Secret and key that hold name=secret." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.embedded.enabled .Values.autoscaling.enabled -}}
{{- fail "The embedded database has one replica: unset autoscaling.enabled, or use a Postgres of your own." -}}
{{- end -}}
{{- if and .Values.externalSecrets.enabled (not .Values.externalSecrets.store.name) -}}
{{- fail "externalSecrets.store.name is needed with externalSecrets.enabled." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts is needed with ingress.enabled." -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is needed with httpRoute.enabled." -}}
{{- end -}}
{{- end -}}
