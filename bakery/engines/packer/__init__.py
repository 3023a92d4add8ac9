"""The engine `packer`: a virtual machine of the base, changed over ssh."""
