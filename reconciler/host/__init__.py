"""Everything that touches the host: libvirt, the kernel's rules, daemons, processes.

The only importer of `libvirt` and `subprocess`.
"""
