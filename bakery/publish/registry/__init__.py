"""Publish in a registry of containers: container images, and disks as containerDisk of KubeVirt."""
