package main

import (
	"context"
	"os"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Driver answers as a CSI plugin does: about itself, as controller and as node.
type Driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer
	Folders Folders
	Node    string
}

// GetPluginInfo names the driver.
func (d *Driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: Name, VendorVersion: "1"}, nil
}

// GetPluginCapabilities says that there is a controller.
func (d *Driver) GetPluginCapabilities(
	context.Context, *csi.GetPluginCapabilitiesRequest,
) (*csi.GetPluginCapabilitiesResponse, error) {
	service := &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}
	capability := &csi.PluginCapability{Type: &csi.PluginCapability_Service_{Service: service}}
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{capability}}, nil
}

// Probe says that all is well.
func (d *Driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

// ControllerGetCapabilities says that volumes and snapshots can be made and deleted.
func (d *Driver) ControllerGetCapabilities(
	context.Context, *csi.ControllerGetCapabilitiesRequest,
) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, what := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
	} {
		call := &csi.ControllerServiceCapability_RPC{Type: what}
		capability := &csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{Rpc: call}}
		answer.Capabilities = append(answer.Capabilities, capability)
	}
	return answer, nil
}

// CreateVolume makes a folder: an empty one, or a copy of a snapshot.
func (d *Driver) CreateVolume(_ context.Context, ask *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	folder := d.Folders.Volume(ask.Name)
	var err error
	if source := ask.GetVolumeContentSource().GetSnapshot(); source != nil {
		err = d.Folders.Copy(d.Folders.Snapshot(source.SnapshotId), folder)
	} else {
		err = d.Folders.Make(folder)
	}
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId:      ask.Name,
		CapacityBytes: ask.GetCapacityRange().GetRequiredBytes(),
		ContentSource: ask.VolumeContentSource,
	}}, nil
}

// DeleteVolume removes a folder.
func (d *Driver) DeleteVolume(_ context.Context, ask *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	return &csi.DeleteVolumeResponse{}, d.Folders.Remove(d.Folders.Volume(ask.VolumeId))
}

// CreateSnapshot copies a folder, unless its class wants it to fail, for good: after other errors it would be tried
// again, and the snapshot could not be deleted meanwhile.
func (d *Driver) CreateSnapshot(
	_ context.Context, ask *csi.CreateSnapshotRequest,
) (*csi.CreateSnapshotResponse, error) {
	if ask.Parameters["refuse"] == "true" {
		return nil, status.Error(codes.FailedPrecondition, "this class makes no snapshots")
	}
	folder := d.Folders.Snapshot(ask.Name)
	if err := d.Folders.Copy(d.Folders.Volume(ask.SourceVolumeId), folder); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	made, err := created(folder)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.CreateSnapshotResponse{Snapshot: &csi.Snapshot{
		SnapshotId:     ask.Name,
		SourceVolumeId: ask.SourceVolumeId,
		CreationTime:   made,
		ReadyToUse:     true,
	}}, nil
}

// created returns when a snapshot was renamed into its place: asked again, it says the same.
func created(folder string) (*timestamppb.Timestamp, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	change := info.Sys().(*syscall.Stat_t).Ctim
	return &timestamppb.Timestamp{Seconds: change.Sec, Nanos: int32(change.Nsec)}, nil
}

// DeleteSnapshot removes the copy.
func (d *Driver) DeleteSnapshot(
	_ context.Context, ask *csi.DeleteSnapshotRequest,
) (*csi.DeleteSnapshotResponse, error) {
	return &csi.DeleteSnapshotResponse{}, d.Folders.Remove(d.Folders.Snapshot(ask.SnapshotId))
}

// NodeGetInfo names the node.
func (d *Driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.Node}, nil
}

// NodeGetCapabilities says that there is nothing beyond publishing.
func (d *Driver) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

// NodePublishVolume shows a volume to a pod.
func (d *Driver) NodePublishVolume(
	_ context.Context, ask *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	if err := publish(d.Folders.Volume(ask.VolumeId), ask.TargetPath, ask.Readonly); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func publish(folder, target string, readOnly bool) error {
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	// asked twice: the second mount would have to be undone, too
	if err := unmount(target); err != nil {
		return err
	}
	if err := syscall.Mount(folder, target, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	if !readOnly {
		return nil
	}
	return syscall.Mount("", target, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
}

// NodeUnpublishVolume takes a volume from a pod.
func (d *Driver) NodeUnpublishVolume(
	_ context.Context, ask *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := unmount(ask.TargetPath); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if err := os.Remove(ask.TargetPath); err != nil && !os.IsNotExist(err) {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// unmount does nothing where nothing is mounted.
func unmount(target string) error {
	err := syscall.Unmount(target, 0)
	if err == syscall.EINVAL || err == syscall.ENOENT {
		return nil
	}
	return err
}
