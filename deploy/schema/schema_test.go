// Package schema holds the files of deploy/ against the types of those who read them.
// It is a module of its own: turnhub links none of what it needs.
package schema

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestKubernetes reads each object as the API server does with strict field
// validation, and looks at what the three ports and the probes depend on.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("../kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var claim corev1.PersistentVolumeClaim
	var deployment appsv1.Deployment
	var service corev1.Service
	kinds := map[string]any{"PersistentVolumeClaim": &claim, "Deployment": &deployment, "Service": &service}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var head struct{ Kind string }
		if err := yaml.Unmarshal(document, &head); err != nil {
			t.Fatal(err)
		}
		into := kinds[head.Kind]
		if into == nil {
			t.Fatalf("an object of kind %q", head.Kind)
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Errorf("%s: %v", head.Kind, err)
		}
		delete(kinds, head.Kind)
	}
	if len(kinds) > 0 {
		t.Errorf("missing: %v", kinds)
	}
	pod := deployment.Spec.Template
	if pod.Spec.HostNetwork || len(pod.Spec.Containers) != 1 {
		t.Fatal("not one container on the pod's own network")
	}
	for key, value := range service.Spec.Selector {
		if pod.Labels[key] != value || deployment.Spec.Selector.MatchLabels[key] != value {
			t.Errorf("label %s: Service, Deployment and pod do not agree", key)
		}
	}
	turnhub := pod.Spec.Containers[0]
	var ports []string
	for _, p := range service.Spec.Ports {
		ports = append(ports, fmt.Sprint(p.Port, "/", p.Protocol))
		found := slices.ContainsFunc(turnhub.Ports, func(c corev1.ContainerPort) bool {
			return c.Name == p.TargetPort.StrVal && c.ContainerPort == p.Port && c.Protocol == p.Protocol
		})
		if !found {
			t.Errorf("port %s of the Service leads to no port of the container", p.Name)
		}
	}
	if want := []string{"80/TCP", "443/TCP", "443/UDP"}; !slices.Equal(ports, want) {
		t.Errorf("ports %v, want %v", ports, want)
	}
	for name, probe := range map[string]*corev1.Probe{"startup": turnhub.StartupProbe, "readiness": turnhub.ReadinessProbe, "liveness": turnhub.LivenessProbe} {
		if probe == nil || probe.Exec == nil || !slices.Contains(probe.Exec.Command, "--self") || probe.TimeoutSeconds < 10 {
			t.Errorf("%s probe: %+v", name, probe)
		}
	}
	if turnhub.Lifecycle == nil || turnhub.Lifecycle.PreStop == nil || turnhub.Lifecycle.PreStop.Sleep == nil {
		t.Error("no preStop")
	}
	if len(turnhub.VolumeMounts) != 1 || turnhub.VolumeMounts[0].Name != pod.Spec.Volumes[0].Name || pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != claim.Name {
		t.Error("the state directory is not on the claim")
	}
}

// TestCompose reads both files as docker compose does, its schema included.
func TestCompose(t *testing.T) {
	for file, ports := range map[string][]string{
		"../compose.yaml":       {"80/tcp", "443/tcp", "443/udp"},
		"../compose.caddy.yaml": {"3478/tcp", "3478/udp", "80/tcp", "443/tcp"},
	} {
		load := func(environment map[string]string) (*types.Project, error) {
			return loader.LoadWithContext(context.Background(), types.ConfigDetails{
				WorkingDir: "..", ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: environment,
			}, func(o *loader.Options) { o.SetProjectName("turnhub", true) })
		}
		if _, err := load(nil); err == nil {
			t.Errorf("%s: loads without the name that people open", file)
		}
		project, err := load(map[string]string{"TURNHUB_PUBLIC_HOST": "calls.example.org"})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		published := make(map[string]bool)
		for _, service := range project.Services {
			for _, p := range service.Ports {
				published[fmt.Sprint(p.Published, "/", p.Protocol)] = true
			}
		}
		for _, port := range ports {
			if !published[port] {
				t.Errorf("%s does not publish %s", file, port)
			}
		}
		turnhub := project.Services["turnhub"]
		if len(published) != len(ports) || !turnhub.ReadOnly || !slices.Contains(turnhub.CapDrop, "ALL") {
			t.Errorf("%s: %v, %+v", file, published, turnhub)
		}
	}
}

// TestCluster reads the cluster's file as docker compose does, and sees that its parts name
// each other.
func TestCluster(t *testing.T) {
	load := func(environment map[string]string) (*types.Project, error) {
		return loader.LoadWithContext(context.Background(), types.ConfigDetails{
			WorkingDir: "../cluster", ConfigFiles: []types.ConfigFile{{Filename: "../cluster/compose.yaml"}}, Environment: environment,
		}, func(o *loader.Options) { o.SetProjectName("turnhub", true) })
	}
	all := map[string]string{"HOST": "calls.example.org", "SECRET": "secret", "NATS_PASSWORD": "npassword"}
	for name := range all {
		some := maps.Clone(all)
		delete(some, name)
		if _, err := load(some); err == nil {
			t.Errorf("loads without %s", name)
		}
	}
	project, err := load(all)
	if err != nil {
		t.Fatal(err)
	}
	front := project.Services["haproxy"]
	proxy, err := os.ReadFile("../cluster/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("../cluster/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if address := front.Networks["nodes"].Ipv4Address; !strings.Contains(string(config), "["+address+"/32]") {
		t.Errorf("config.yaml does not trust HAProxy at %s", address)
	}
	published := make(map[string]string)
	for name, service := range project.Services {
		for _, p := range service.Ports {
			key := fmt.Sprint(p.Published, "/", p.Protocol)
			if published[key] != "" {
				t.Errorf("%s is published by %s and %s", key, name, published[key])
			}
			published[key] = name
		}
		if !slices.Contains(service.CapDrop, "ALL") {
			t.Errorf("%s keeps capabilities", name)
		}
		for _, v := range service.Volumes {
			if v.Type == "volume" {
				if _, named := project.Volumes[v.Source]; !named {
					t.Errorf("%s: no volume %s", name, v.Source)
				}
			} else if _, err := os.Stat(v.Source); err != nil && filepath.Base(v.Source) != "tls" { // that is the operator's
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if published["443/tcp"] != "haproxy" || len(published) != 4 {
		t.Errorf("published: %v", published)
	}
	for _, name := range []string{"a", "b", "c"} {
		node := project.Services[name]
		get := func(key string) string {
			if v := node.Environment[key]; v != nil {
				return *v
			}
			return ""
		}
		upper := strings.ToUpper(name)
		if v := front.Environment["NODE_"+upper]; v == nil || *v != node.Networks["nodes"].Ipv4Address+":8443" {
			t.Errorf("HAProxy does not lead to %s", name)
		}
		if !strings.Contains(string(proxy), "use_backend "+name+" if { req.ssl_sni -i \""+name+".${HOST}\" }") {
			t.Errorf("haproxy.cfg does not know %s by its name", name)
		}
		if get("TURNHUB_CLUSTER_NODE") != name || get("TURNHUB_CLUSTER_URL") != "https://"+name+".calls.example.org" || get("TURNHUB_PUBLIC_HOST") != name+".calls.example.org" {
			t.Errorf("%s: %v", name, node.Environment)
		}
		if udp := strings.TrimPrefix(get("TURNHUB_LISTEN_UDP"), ":"); published[udp+"/udp"] != name {
			t.Errorf("%s listens on UDP port %s, which is not published", name, udp)
		}
		if !node.ReadOnly || node.StopGracePeriod == nil {
			t.Errorf("%s: %+v", name, node)
		}
		for i := 1; i <= 3; i++ {
			server := fmt.Sprint("nats-", i)
			if !strings.Contains(get("TURNHUB_CLUSTER_NATS"), "@"+server+":4222") || len(project.Services[server].Command) == 0 {
				t.Errorf("%s does not know %s", name, server)
			}
		}
	}
}
