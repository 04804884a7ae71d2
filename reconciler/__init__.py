"""A GitOps reconciler for the network identity of KVM guests."""

__version__ = "0.1.0"
