package main

import (
	"context"
	stderrors "errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshots "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	every         = 250 * time.Millisecond
	takenBack     = 8 // so seldom: claims are waited for, room is not
	fromCache     = "0"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// errWaits says that a claim has to wait. It is no news.
var errWaits = stderrors.New("the snapshot is not ready")

// Provisioner gives claims of the driver's storage classes their volumes, and takes them back.
// It looks at all of them again and again, and holds no state.
type Provisioner struct {
	api       kubernetes.Interface
	snapshots snapshots.Interface
	driver    *Driver
}

// NewProvisioner returns a provisioner that reaches the API server by a client configuration.
func NewProvisioner(config *rest.Config, driver *Driver) (*Provisioner, error) {
	config.QPS, config.Burst = 50, 100
	quick := rest.CopyConfig(config)
	quick.ContentType = "application/vnd.kubernetes.protobuf"
	api, err := kubernetes.NewForConfig(quick)
	if err != nil {
		return nil, err
	}
	client, err := snapshots.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Provisioner{api: api, snapshots: client, driver: driver}, nil
}

// Run looks until the process ends. The API server may be away for a while.
func (p *Provisioner) Run(ctx context.Context) {
	for turn := 0; ; turn++ {
		err := p.give(ctx)
		if err == nil && turn%takenBack == 0 {
			err = p.takeBack(ctx)
		}
		if err != nil {
			log.Print(err)
		}
		time.Sleep(every)
	}
}

// give looks at all claims as the API server has them at hand, and gives those that wait their volumes.
func (p *Provisioner) give(ctx context.Context) error {
	claims, err := p.api.CoreV1().PersistentVolumeClaims("").List(ctx, meta.ListOptions{ResourceVersion: fromCache})
	if err != nil {
		return err
	}
	waiting := slices.DeleteFunc(claims.Items, func(claim core.PersistentVolumeClaim) bool {
		return claim.Status.Phase != core.ClaimPending || claim.DeletionTimestamp != nil
	})
	if len(waiting) == 0 {
		return nil
	}
	classes, err := p.classes(ctx)
	if err != nil {
		return err
	}
	for _, claim := range waiting {
		class, ours := classes[value(claim.Spec.StorageClassName)]
		if !ours {
			continue
		}
		if err := p.giveOne(ctx, &claim, class); err != nil && !stderrors.Is(err, errWaits) {
			log.Printf("claim %s/%s: %v", claim.Namespace, claim.Name, err)
		}
	}
	return nil
}

func (p *Provisioner) classes(ctx context.Context) (map[string]*storage.StorageClass, error) {
	found, err := p.api.StorageV1().StorageClasses().List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, err
	}
	ours := map[string]*storage.StorageClass{}
	for _, class := range found.Items {
		if class.Provisioner == Name {
			ours[class.Name] = &class
		}
	}
	return ours, nil
}

// giveOne makes a volume for a claim; a claim of a snapshot that is not ready waits.
func (p *Provisioner) giveOne(
	ctx context.Context, claim *core.PersistentVolumeClaim, class *storage.StorageClass,
) error {
	ask := &csi.CreateVolumeRequest{Name: fmt.Sprintf("pvc-%s", claim.UID)}
	if source := claim.Spec.DataSource; source != nil {
		id, err := p.snapshotID(ctx, claim.Namespace, source)
		if err != nil {
			return err
		}
		from := &csi.VolumeContentSource_SnapshotSource{SnapshotId: id}
		ask.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{Snapshot: from}}
	}
	made, err := p.driver.CreateVolume(ctx, ask)
	if err != nil {
		return err
	}
	volume := volumeFor(claim, class, made.Volume.VolumeId)
	_, err = p.api.CoreV1().PersistentVolumes().Create(ctx, volume, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// snapshotID returns what the driver calls the snapshot that a claim is to be filled from.
func (p *Provisioner) snapshotID(
	ctx context.Context, namespace string, source *core.TypedLocalObjectReference,
) (string, error) {
	if source.Kind != "VolumeSnapshot" {
		return "", fmt.Errorf("cannot be filled from a %s", source.Kind)
	}
	api := p.snapshots.SnapshotV1()
	snapshot, err := api.VolumeSnapshots(namespace).Get(ctx, source.Name, meta.GetOptions{})
	if err != nil {
		return "", err
	}
	status := snapshot.Status
	if status == nil || status.ReadyToUse == nil || !*status.ReadyToUse || status.BoundVolumeSnapshotContentName == nil {
		return "", errWaits
	}
	content, err := api.VolumeSnapshotContents().Get(ctx, *status.BoundVolumeSnapshotContentName, meta.GetOptions{})
	if err != nil {
		return "", err
	}
	return value(content.Status.SnapshotHandle), nil
}

func volumeFor(claim *core.PersistentVolumeClaim, class *storage.StorageClass, id string) *core.PersistentVolume {
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: id, Annotations: map[string]string{provisionedBy: Name}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      claim.Spec.Resources.Requests,
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{
				CSI: &core.CSIPersistentVolumeSource{Driver: Name, VolumeHandle: id},
			},
		},
	}
}

// takeBack deletes the volumes that were released.
func (p *Provisioner) takeBack(ctx context.Context) error {
	volumes, err := p.api.CoreV1().PersistentVolumes().List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	for _, volume := range volumes.Items {
		ours := volume.Annotations[provisionedBy] == Name
		wanted := volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete
		if !ours || wanted || volume.Status.Phase != core.VolumeReleased {
			continue
		}
		if _, err := p.driver.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volume.Name}); err != nil {
			return err
		}
		err := p.api.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
		if err != nil && !errors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
