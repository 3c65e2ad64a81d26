{{/* Names, labels and what a service gets after its defaults. Every label is quoted: a release may be called `n` or `1e3`. */}}

{{- define "hersys.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hersys.labels" -}}
app.kubernetes.io/name: "hersys"
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- range $key, $value := .Values.commonLabels }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Selects the pods of a service: (dict "root" $ "service" name). */}}
{{- define "hersys.selector" -}}
app.kubernetes.io/name: "hersys"
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .service | quote }}
{{- end -}}

{{/* A service's values after the defaults, as YAML. */}}
{{- define "hersys.service" -}}
{{- $own := get .root.Values.services .service | default dict -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy $own)) -}}
{{- end -}}

{{- define "hersys.image" -}}
{{- $own := (get .root.Values.services .service | default dict).image | default dict -}}
{{- $base := printf "%s/%s" .root.Values.image.repository .service -}}
{{- if $own.digest -}}{{ printf "%s@%s" $base $own.digest }}{{- else -}}{{ printf "%s:%s" $base (default .root.Chart.AppVersion (default .root.Values.image.tag $own.tag)) }}{{- end -}}
{{- end -}}

{{/* Where a service is reached: the headless service, so that every replica is found. */}}
{{- define "hersys.host" -}}
{{ include "hersys.fullname" .root }}-{{ .service }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end -}}

{{- define "hersys.security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "hersys.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The environment of a process, by name: nothing can be there twice. (dict "root" $ "service" name "own" values) */}}
{{- define "hersys.env" -}}
{{- $root := .root -}}
{{- $env := dict
  "HERSYS_LISTEN" "0.0.0.0:8443"
  "HERSYS_ADMIN_LISTEN" "0.0.0.0:9443"
  "HERSYS_TLS_CA" (printf "/etc/hersys/trust/%s" $root.Values.tls.trust.key)
  "HERSYS_TLS_CERT" "/etc/hersys/tls/tls.crt"
  "HERSYS_TLS_KEY" "/etc/hersys/tls/tls.key"
  "HERSYS_LOG" $root.Values.log
  "HERSYS_SURGE_FILE" "/etc/hersys/surge/surge.json"
-}}
{{- $upstreams := list -}}
{{- range $callee := get $root.Values.calls .service -}}
{{- $upstreams = append $upstreams (printf "%s=%s:8443" $callee (include "hersys.host" (dict "root" $root "service" $callee))) -}}
{{- end -}}
{{- $_ := set $env "HERSYS_UPSTREAMS" (join "," $upstreams) -}}
{{- $_ := set $env "HERSYS_KEYS_FILE" "/var/lib/hersys/keys.jwks" -}}
{{- if $root.Values.telemetry.otlp -}}{{- $_ := set $env "HERSYS_OTLP" $root.Values.telemetry.otlp -}}{{- end -}}
{{- if eq .service "gateway" -}}
{{- if $root.Values.edge.proxyHops -}}{{- $_ := set $env "HERSYS_PROXY_HOPS" (join "," $root.Values.edge.proxyHops) -}}{{- end -}}
{{- if $root.Values.edge.certificate.secret -}}
{{- $_ := set $env "HERSYS_EDGE_CERT" "/etc/hersys/edge/tls.crt" -}}
{{- $_ := set $env "HERSYS_EDGE_KEY" "/etc/hersys/edge/tls.key" -}}
{{- end -}}
{{- if not $root.Values.edge.perAddress -}}
{{- $_ := set $env "HERSYS_LIMIT_ANONYMOUS" "1000000" -}}
{{- $_ := set $env "HERSYS_UNDER_WAY_PER_ADDRESS" "1000000" -}}
{{- $_ := set $env "HERSYS_CONNECTIONS_PER_ADDRESS" "1000000" -}}
{{- end -}}
{{- else -}}
{{- $_ := set $env "HERSYS_NATS_URL" (printf "tls://%s:%v" $root.Values.nats.host $root.Values.nats.port) -}}
{{- $_ := set $env "HERSYS_NATS_REPLICAS" (toString $root.Values.nats.replicas) -}}
{{- $_ := set $env "HERSYS_DATABASE" (printf "%s:%v" $root.Values.database.host $root.Values.database.port) -}}
{{- $_ := set $env "HERSYS_DATABASE_CONNECTIONS" (toString .own.connections) -}}
{{- $_ := set $env "HERSYS_KEK_FILE" "/etc/hersys/kek/kek" -}}
{{- end -}}
{{- if eq .service "identity" -}}
{{- $_ := set $env "HERSYS_BOOTSTRAP_FILE" "/var/lib/hersys/bootstrap" -}}
{{- $_ := set $env "HERSYS_FONT" "/usr/share/hersys/ipaexg.ttf" -}}
{{- with $root.Values.edge.hosts -}}{{- $_ := set $env "HERSYS_ADDRESS" (printf "https://%s/" (first .)) -}}{{- end -}}
{{- end -}}
{{- $env = mergeOverwrite $env (deepCopy (.own.env | default dict)) -}}
{{- range $name, $value := $env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "hersys.volumes" -}}
- name: tls
  secret: {secretName: {{ printf "%s-%s-tls" (include "hersys.fullname" .root) .certificate | quote }}, defaultMode: 0440}
{{- if and (eq .service "gateway") .root.Values.edge.certificate.secret }}
- name: edge
  secret: {secretName: {{ .root.Values.edge.certificate.secret | quote }}, defaultMode: 0440}
{{- end }}
- name: trust
  configMap: {name: {{ .root.Values.tls.trust.configMap | quote }}}
{{- if ne .service "gateway" }}
- name: kek
  secret: {secretName: {{ printf "%s-%s-kek" .root.Values.keys.secretPrefix .service | quote }}, defaultMode: 0440}
{{- end }}
# What the surge operator switches; nothing while there is none.
- name: surge
  configMap: {name: {{ printf "%s-surge" (include "hersys.fullname" .root) | quote }}, optional: true}
- name: state
  emptyDir: {medium: Memory, sizeLimit: 8Mi}
{{- end -}}

{{- define "hersys.mounts" -}}
- {name: tls, mountPath: /etc/hersys/tls, readOnly: true}
- {name: trust, mountPath: /etc/hersys/trust, readOnly: true}
{{- if and (eq .service "gateway") .root.Values.edge.certificate.secret }}
- {name: edge, mountPath: /etc/hersys/edge, readOnly: true}
{{- end }}
{{- if ne .service "gateway" }}
- {name: kek, mountPath: /etc/hersys/kek, readOnly: true}
{{- end }}
- {name: surge, mountPath: /etc/hersys/surge, readOnly: true}
- {name: state, mountPath: /var/lib/hersys}
{{- end -}}
