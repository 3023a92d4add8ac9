# Builds a worker image with packer's qemu builder (packer 1.6.6 or later). It has no required_plugins block,
# which 1.6.6 does not support; packer 1.10 and later use the installed qemu plugin.
# `bake-image --packer-files DIR` writes the files for these variables; see docs/how-to/bake.md.

variable "base" {
  type        = string
  description = "The qcow2 image to start from, used read-only as the backing file."
}

variable "disk_size" {
  type        = string
  description = "The virtual size of the base in bytes, with the suffix b: the disk is not resized."
}

variable "seed" {
  type        = string
  description = "A NoCloud seed with the host key of the machine and the public key for root."
}

variable "key" {
  type        = string
  description = "The private key to log in as root."
}

variable "task" {
  type        = string
  description = "The task file for bakery/engines/packer/guest.py: the plan to apply."
}

variable "output" {
  type        = string
  description = "The folder for disk.qcow2, an overlay over the base. It must not exist."
}

variable "disk" {
  type        = string
  description = "The path at which QEMU opens disk.qcow2."
}

variable "serial" {
  type        = string
  description = "The log file of the serial console."
}

variable "python" {
  type        = string
  description = "The Python interpreter that has worker-bakery."
}

variable "accelerator" {
  type        = string
  default     = "kvm"
  description = "The value of QEMU's -accel; tcg if KVM is not available."
}

variable "cpu" {
  type        = string
  default     = "host"
  description = "The value of QEMU's -cpu; max for tcg. QEMU's default is too old for EL9."
}

variable "qemu" {
  type        = string
  default     = "qemu-system-x86_64"
  description = "The QEMU program."
}

variable "ssh_timeout" {
  type        = string
  default     = "20m"
  description = "The time limit for boot and login."
}

source "qemu" "worker" {
  qemu_binary      = var.qemu
  disk_image       = true
  iso_url          = var.base
  iso_checksum     = "none" # bake-image has verified the digest
  use_backing_file = true
  # qemu-img since 6.1 requires the format of the backing file, which packer 1.6.6 does not pass. Clusters have
  # the size of file system blocks: in larger ones, deleted data would remain readable.
  qemu_img_args {
    create = ["-F", "qcow2", "-o", "cluster_size=4k"]
  }
  format           = "qcow2"
  disk_size        = var.disk_size
  skip_resize_disk = true
  skip_compaction  = true
  output_directory = var.output
  vm_name          = "disk.qcow2"
  headless         = true
  disable_vnc      = true
  accelerator      = "none" # set in qemuargs: QEMU refuses -accel together with -machine accel=
  # These replace packer's own arguments of the same name.
  qemuargs = [
    ["-machine", "type=q35"],
    ["-nodefaults", ""], # no empty drives, which an emulated kernel probes for seconds
    ["-accel", var.accelerator],
    ["-cpu", var.cpu],
    ["-smp", "2"],
    ["-m", "2048M"],
    ["-display", "none"],
    ["-vnc", "none"],
    # To a file: the boot would block on a pty that is not read.
    ["-serial", "file:${var.serial}"],
    # werror: report a full disk of the host to the guest as an error; by default the guest would be paused.
    ["-drive", "id=system,file=${var.disk},if=virtio,format=qcow2,cache=unsafe,discard=unmap,werror=report"],
    ["-drive", "file=${var.seed},if=virtio,format=raw,readonly=on"],
    # On 127.0.0.1 only: packer's own port forward listens on all addresses of this machine.
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
    ["-device", "virtio-net-pci,netdev=user.0"],
    ["-device", "virtio-rng-pci"],
  ]
  ssh_username         = "root"
  ssh_private_key_file = var.key
  ssh_timeout          = var.ssh_timeout
  # A regular shutdown would write files that the seal has just removed. Remounting read-only leaves a clean
  # file system; the power-off then loses nothing.
  shutdown_command = "(sleep 1; sync; echo u >/proc/sysrq-trigger; echo o >/proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &"
  shutdown_timeout = "5m"
}

build {
  sources = ["source.qemu.worker"]

  provisioner "shell-local" {
    # Paths are passed in the environment, never as part of the script.
    environment_vars = ["WB_PYTHON=${var.python}", "WB_TASK=${var.task}", "WB_PORT=${build.Port}"]
    inline_shebang   = "/bin/sh -e"
    inline           = ["exec \"$WB_PYTHON\" -P -m bakery.engines.packer.guest \"$WB_TASK\" \"$WB_PORT\""]
  }
}
