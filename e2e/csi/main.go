// Command csi-driver is a small storage driver for tests: a volume is a folder, a
// snapshot a copy of one. It speaks CSI to the kubelet and to csi-snapshotter, and
// gives claims of its storage class their volumes.
//
// A snapshot class with the parameter refuse: "true" makes snapshots that fail.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"k8s.io/client-go/tools/clientcmd"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Name is what storage classes call the driver.
const Name = "e2e.csi.becalm.dev"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	data := flag.String("data", "", "the folder that holds volumes and snapshots")
	kubelet := flag.String("kubelet", "/var/lib/kubelet", "the kubelet's root folder")
	node := flag.String("node", "", "the name of the node")
	flag.Parse()

	folders := Folders{Root: *data}
	driver := &Driver{Folders: folders, Node: *node}
	endpoint := filepath.Join(*kubelet, "plugins", Name, "csi.sock")
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	provisioner, err := NewProvisioner(config, driver)
	check(err)

	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, driver)
	csi.RegisterControllerServer(server, driver)
	csi.RegisterNodeServer(server, driver)
	go serve(server, endpoint)

	registrar := grpc.NewServer()
	registration.RegisterRegistrationServer(registrar, &Registrar{Endpoint: endpoint})
	go serve(registrar, filepath.Join(*kubelet, "plugins_registry", Name+"-reg.sock"))

	provisioner.Run(context.Background())
}

// serve listens on a socket of its own until the process ends.
func serve(server *grpc.Server, socket string) {
	check(os.MkdirAll(filepath.Dir(socket), 0o750))
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		check(err)
	}
	listener, err := net.Listen("unix", socket)
	check(err)
	check(server.Serve(listener))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Registrar tells the kubelet of the driver.
type Registrar struct {
	registration.UnimplementedRegistrationServer
	Endpoint string
}

// GetInfo says who we are and where the driver listens.
func (r *Registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.CSIPlugin,
		Name:              Name,
		Endpoint:          r.Endpoint,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus hears whether the kubelet took us. If it did not, nothing would work.
func (r *Registrar) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		log.Fatalf("the kubelet did not register the driver: %s", status.Error)
	}
	return &registration.RegistrationStatusResponse{}, nil
}
