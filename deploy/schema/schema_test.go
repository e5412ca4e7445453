// Package schema holds the files of deploy/ against the types of those who read them.
// It is a module of its own: turnhub links none of what it needs.
package schema

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
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
