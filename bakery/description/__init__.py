"""The description of an image, as files beside it: SBOM, attestations, digests, signatures."""
