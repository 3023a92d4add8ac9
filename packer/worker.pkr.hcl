# A worker image by packer's qemu builder, for packer 1.6.6 and later. It names no required_plugins, which
# 1.6.6 does not know; from 1.10 on packer takes the qemu plugin that it finds installed.
# `bake-image --packer-files DIR` writes all that the variables name, README.md says how to go on.

variable "base" {
  type        = string
  description = "The qcow2 image to start from; it is only read."
}

variable "disk_size" {
  type        = string
  description = "Its size as the machine sees it, in bytes and with a b: the disk must not grow."
}

variable "seed" {
  type        = string
  description = "A NoCloud seed that lets root in with the key and tells the machine its host key."
}

variable "key" {
  type        = string
  description = "The private key."
}

variable "task" {
  type        = string
  description = "What to do on the machine, for bakery/engines/packer/guest.py."
}

variable "output" {
  type        = string
  description = "The folder that gets disk.qcow2, a layer over the base; it must not exist."
}

variable "disk" {
  type        = string
  description = "What QEMU opens: that disk.qcow2, by this name or another one."
}

variable "serial" {
  type        = string
  description = "The file that gets the serial console."
}

variable "python" {
  type        = string
  description = "The Python that worker-bakery is installed for."
}

variable "accelerator" {
  type        = string
  default     = "kvm"
  description = "As QEMU's -accel takes it; tcg where there is no KVM."
}

variable "cpu" {
  type        = string
  default     = "host"
  description = "As QEMU's -cpu takes it; max for tcg. The default of QEMU is too old for EL9."
}

variable "qemu" {
  type        = string
  default     = "qemu-system-x86_64"
  description = "QEMU's program."
}

variable "ssh_timeout" {
  type        = string
  default     = "20m"
  description = "How long the machine may take until its ssh server lets us in."
}

source "qemu" "worker" {
  qemu_binary      = var.qemu
  disk_image       = true
  iso_url          = var.base
  iso_checksum     = "none" # bake-image has checked it, and knows the digest
  use_backing_file = true
  # QEMU since 6.1 wants the format of a backing file said, and packer 1.6.6 does not say it. Clusters as
  # small as a file system's blocks: what is removed in larger ones stays readable.
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
  accelerator      = "none" # qemuargs say it: together with -machine accel=, QEMU refuses -accel
  # What stands here takes the place of packer's own arguments of the same name.
  qemuargs = [
    ["-machine", "type=q35"],
    ["-nodefaults", ""], # no empty drives, which an emulated kernel takes seconds to find empty
    ["-accel", var.accelerator],
    ["-cpu", var.cpu],
    ["-smp", "2"],
    ["-m", "2048M"],
    ["-display", "none"],
    ["-vnc", "none"],
    # To a file: whoever does not read a pty keeps the machine from booting.
    ["-serial", "file:${var.serial}"],
    # werror: if there is no space left here, the machine is told so; by default it would just stand still.
    ["-drive", "id=system,file=${var.disk},if=virtio,format=qcow2,cache=unsafe,discard=unmap,werror=report"],
    ["-drive", "file=${var.seed},if=virtio,format=raw,readonly=on"],
    # packer's own forward listens on all addresses of this machine.
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
    ["-device", "virtio-net-pci,netdev=user.0"],
    ["-device", "virtio-rng-pci"],
  ]
  ssh_username         = "root"
  ssh_private_key_file = var.key
  ssh_timeout          = var.ssh_timeout
  # A regular power-off would write what the seal has just removed. This makes the file system clean
  # and read-only, and then there is nothing left to lose.
  shutdown_command = "(sleep 1; sync; echo u >/proc/sysrq-trigger; echo o >/proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &"
  shutdown_timeout = "5m"
}

build {
  sources = ["source.qemu.worker"]

  provisioner "shell-local" {
    # Paths are data: none of them is part of the script.
    environment_vars = ["WB_PYTHON=${var.python}", "WB_TASK=${var.task}", "WB_PORT=${build.Port}"]
    inline_shebang   = "/bin/sh -e"
    inline           = ["exec \"$WB_PYTHON\" -P -m bakery.engines.packer.guest \"$WB_TASK\" \"$WB_PORT\""]
  }
}
