{{/* Where the runtime of each flavour looks for plugins and for conflists, and the plugin that gives pods their addresses. */}}
{{- define "ip-masq.flavours" -}}
kubeadm: {binDir: /opt/cni/bin, confDir: /etc/cni/net.d, after: flannel}
k3s: {binDir: /var/lib/rancher/k3s/data/cni, confDir: /var/lib/rancher/k3s/agent/etc/cni/net.d, after: flannel}
rke2: {binDir: /opt/cni/bin, confDir: /etc/cni/net.d, after: flannel}
microk8s: {binDir: /var/snap/microk8s/current/opt/cni/bin, confDir: /var/snap/microk8s/current/args/cni-network, after: flannel}
openshift: {binDir: /var/lib/cni/bin, confDir: /etc/kubernetes/cni/net.d, after: flannel}
crio: {binDir: /opt/cni/bin, confDir: /etc/cni/net.d, after: flannel}
podman: {binDir: /opt/cni/bin, confDir: /etc/cni/net.d, after: bridge}
{{- end }}

{{/* {binDir, confDir, after} of this release, as YAML. */}}
{{- define "ip-masq.place" -}}
{{- $of := get (fromYaml (include "ip-masq.flavours" .)) .Values.flavour -}}
binDir: {{ .Values.binDir | default $of.binDir }}
confDir: {{ .Values.confDir | default $of.confDir }}
after: {{ .Values.after | default $of.after }}
{{- end }}

{{/* Where install and agent find the node's folders: what the container shows of the node does not tell its flavour. */}}
{{- define "ip-masq.words" -}}
- --bin-dir=/host{{ .binDir }}
- --conf-dir={{ .confDir }}
- --after={{ .after }}
{{- end }}

{{/* repository may be the whole name of an image. Of a release the chart knows the digest, which stands where nothing else is said. */}}
{{- define "ip-masq.image" -}}
{{- $given := .Values.image -}}
{{- $parts := splitList "@" $given.repository -}}
{{- $tag := regexFind ":[^/:]*$" (first $parts) | trimPrefix ":" -}}
{{- $name := first $parts | trimSuffix (print ":" $tag) -}}
{{- $digest := rest $parts | join "" -}}
{{- if and $tag $given.tag (ne $tag $given.tag) -}}
{{- fail (printf "image.repository has the tag %s, and image.tag is %s: leave one of them out" $tag $given.tag) -}}
{{- end -}}
{{- if and $digest $given.digest (ne $digest $given.digest) -}}
{{- fail (printf "image.repository has the digest %s, and image.digest is %s: leave one of them out" $digest $given.digest) -}}
{{- end -}}
{{- $tag = $tag | default $given.tag | default "" -}}
{{- $digest = $digest | default $given.digest | default "" -}}
{{- if not (or $tag $digest) -}}
{{- $digest = index .Chart.Annotations "ip-masq/image-digest" | default "" -}}
{{- end -}}
{{- $image := print $name (ternary (print "@" $digest) (print ":" ($tag | default .Chart.AppVersion)) (ne $digest "")) -}}
{{ if hasPrefix "[" $image }}{{ $image | quote }}{{ else }}{{ $image }}{{ end }}
{{- end }}

{{- define "ip-masq.labels" -}}
app.kubernetes.io/name: ip-masq
{{- end }}

{{- define "ip-masq.address" -}}
{{ .Values.listen.address | default (ternary "$(NODE_IP)" "127.0.0.1" .Values.monitoring.podMonitor.enabled) }}
{{- end }}

{{/* Before 1.30 an annotation of each container. */}}
{{- define "ip-masq.appArmorIsAField" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}true{{ end }}
{{- end }}

{{- define "ip-masq.appArmorAnnotations" -}}
{{- if and (.Values.appArmorProfile | default dict).type (not (include "ip-masq.appArmorIsAField" .)) }}
{{- $named := dict "RuntimeDefault" "runtime/default" "Unconfined" "unconfined" "Localhost" (printf "localhost/%s" .Values.appArmorProfile.localhostProfile) }}
{{- range list "install" "agent" }}
container.apparmor.security.beta.kubernetes.io/{{ . }}: {{ get $named $.Values.appArmorProfile.type }}
{{- end }}
{{- end }}
{{- end }}
