"""The ads of a sample worker and a sample job, and the attributes that only some workers or jobs have.

The names are those of real ads of HTCondor 23.9.6: of an idle worker of this image in a pool
(`condor_status -direct … -long`), and of an idle job in a queue (`condor_q -long`);
tests/boot/test_life_configuration.py compares them. The values are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Expression:
    """The text of an attribute that is an expression, not a plain value."""

    text: str


_TIMESTAMP = 1_700_000_000  # seconds since 1970
_ADDRESS = "<10.0.0.5:9618?addrs=10.0.0.5-9618&alias=worker&noUDP&sock=startd_1>"

WORKER: Mapping[str, Any] = {
    "AcceptedWhileDraining": False, "ActivationRequests": 0, "Activity": "Idle", "AddressV1": "{}",
    "Arch": "X86_64", "CanHibernate": False, "ChildAccountingGroup": [], "ChildActivity": [],
    "ChildCpus": [], "ChildCurrentRank": [], "ChildDisk": [], "ChildDSlotId": [],
    "ChildEnteredCurrentState": [], "ChildGPUs": [], "ChildMemory": [], "ChildName": [],
    "ChildRemoteOwner": [], "ChildRemoteUser": [], "ChildRetirementTimeRemaining": [], "ChildState": [],
    "ClaimRequests": 0, "ClockDay": 6, "ClockMin": 933, "COLLECTOR_HOST_STRING": "pool.example",
    "CondorLoadAvg": 0.0, "CondorPlatform": "$CondorPlatform: X86_64-Debian_13 $",
    "CondorScratchDir": "#CoNdOrScRaTcHdIr#", "CondorVersion": "$CondorVersion: 23.9.6 2026-07-12 $",
    "ConsoleIdle": 100_000, "CpuBusy": False,
    "Cpus": 8, "CurrentRank": 0.0, "DaemonCoreDutyCycle": 0.02, "DetectedCpus": 8, "DetectedGPUs": 0,
    "DetectedMemory": 32_000, "Disk": 50_000_000, "EnteredCurrentActivity": _TIMESTAMP,
    "EnteredCurrentState": _TIMESTAMP, "ExpectedMachineGracefulDrainingBadput": 0,
    "ExpectedMachineGracefulDrainingCompletion": _TIMESTAMP, "ExpectedMachineQuickDrainingBadput": 0,
    "ExpectedMachineQuickDrainingCompletion": _TIMESTAMP, "FileSystemDomain": "worker.invalid", "GPUs": 0,
    "HardwareAddress": "02:00:00:00:00:05", "HasFileTransfer": True,
    "HasFileTransferPluginMethods": "box,https,gdrive,dav,davs,http,onedrive,data,ftp,file,s3,gs",
    "HasIOProxy": True, "HasJICLocalConfig": True, "HasJICLocalStdin": True, "HasJobDeferral": True,
    "HasJobTransferPlugins": True, "HasMPI": True, "HasPerFileEncryption": True, "HasReconnect": True,
    "HasRotationalScratch": False, "HasSelfCheckpointTransfers": True, "HasSshd": True,
    "HasStartDaemonAd": True, "HasTDP": True, "HasTransferInputRemaps": True, "HasUserNamespaces": True,
    "HasVM": False, "HibernationLevel": 0, "HibernationState": "NONE", "HibernationSupportedStates": "",
    "IsLocalStartd": False, "IsWakeAble": False, "IsWakeOnLanEnabled": False, "IsWakeOnLanSupported": False,
    "JobPreemptions": 0, "JobRankPreemptions": 0, "JobStarts": 0, "JobUserPrioPreemptions": 0,
    "KeyboardIdle": 100_000, "LastBenchmark": 0, "LastFetchWorkCompleted": 0, "LastFetchWorkSpawned": 0,
    "LastUpdate": _TIMESTAMP, "LoadAvg": 0.1, "Machine": "worker", "MachineMaxVacateTime": 600,
    "MachineResources": "Cpus Memory Disk Swap GPUs", "MaxJobRetirementTime": 0, "Memory": 32_000,
    "MonitorSelfAge": 1, "MonitorSelfCPUUsage": 0.0, "MonitorSelfImageSize": 24_352,
    "MonitorSelfRegisteredSocketCount": 0, "MonitorSelfResidentSetSize": 17_476,
    "MonitorSelfSecuritySessions": 3, "MonitorSelfTime": _TIMESTAMP, "MyAddress": _ADDRESS,
    "MyCurrentTime": _TIMESTAMP + 1000, "MyType": "Machine", "Name": "slot1@worker", "NewDSlotNotMatch": 0,
    "NextFetchWorkDelay": -1, "NODE_IS_HEALTHY": True, "NODE_STATUS": "OK", "NumDynamicSlots": 0,
    "NumDynamicSlotsTime": _TIMESTAMP, "NumPids": 0, "OpSys": "LINUX", "OpSysAndVer": "Debian13",
    "OpSysLegacy": "LINUX", "OpSysLongName": "Debian GNU/Linux 13", "OpSysMajorVer": 13,
    "OpSysName": "Debian", "OpSysShortName": "Debian", "OpSysVer": 1300, "PartitionableSlot": True,
    "PslotRollupInformation": True, "Rank": 0.0, "RecentActivationRequests": 0, "RecentClaimRequests": 0,
    "RecentDaemonCoreDutyCycle": 0.02, "RecentJobPreemptions": 0, "RecentJobRankPreemptions": 0,
    "RecentJobStarts": 0, "RecentJobUserPrioPreemptions": 0, "RecentNewDSlotNotMatch": 0,
    "Requirements": Expression("START && WithinResourceLimits"), "RetirementTimeRemaining": 0,
    "SlotID": 1, "SlotType": "Partitionable", "SlotTypeID": 1, "SlotWeight": Expression("Cpus"),
    "Start": Expression("MY.NODE_IS_HEALTHY =?= true"), "StartdIpAddr": _ADDRESS,
    "StarterAbilityList": "HasMPI,HasTDP,HasSshd,HasReconnect,HasJobDeferral,HasFileTransfer",
    "State": "Unclaimed", "SubnetMask": "255.255.255.0", "TargetType": "Job", "TimeToLive": 2_147_483_647,
    "TotalCondorLoadAvg": 0.0, "TotalCpus": 8.0, "TotalDisk": 50_000_000, "TotalGPUs": 0,
    "TotalLoadAvg": 0.1, "TotalMemory": 32_000, "TotalSlotCpus": 8, "TotalSlotDisk": 50_000_000.0,
    "TotalSlotGPUs": 0, "TotalSlotMemory": 32_000, "TotalSlots": 1, "TotalTimeUnclaimedIdle": 1000,
    "TotalVirtualMemory": 40_000_000, "UidDomain": "worker.invalid",
    "Unhibernate": Expression("MY.MachineLastMatchTime =!= undefined"), "UtsnameMachine": "x86_64",
    "UtsnameNodename": "worker", "UtsnameRelease": "6.12.0-cloud-amd64", "UtsnameSysname": "Linux",
    "UtsnameVersion": "#1 SMP", "VirtualMemory": 0, "WakeOnLanEnabledFlags": "NONE",
    "WakeOnLanSupportedFlags": "NONE",
    "WithinResourceLimits": Expression(
        "TARGET.RequestCpus <= MY.Cpus && TARGET.RequestMemory <= MY.Memory"
    ),
    "WorkerBakeryVersion": "0.1.0", "WorkerBase": "debian13 0", "WorkerGroupName": "My workers",
    "WorkerImage": "osg-debian13-0", "WorkerImageDate": _TIMESTAMP, "WorkerImageID": "osg-debian13",
    "WorkerImageVersion": "0",
}  # fmt: skip

# Attributes that depend on the processor, the cloud, the image or the configuration.
OPTIONAL_WORKER: Mapping[str, Any] = {
    "AssignedGPUs": "GPU-0", "AvailableGPUs": ["GPU-0"], "CloudInstanceID": "i-0",
    "CloudPlatform": "openstack", "TardisDroneUuid": "fleet-mine-0a1b2c3d4e",
    "CloudProvider": "openstack", "CloudRegion": "IU", "CloudVMType": "m3.medium", "CloudZone": "nova",
    "CpuCacheSize": 1024, "CpuFamily": 25, "CpuModelNumber": 17,
    "DaemonLastReconfigTime": _TIMESTAMP, "DaemonStartTime": _TIMESTAMP,
    "DedicatedScheduler": "DedicatedScheduler@ap.example", "GPUs_Capability": 8.0,
    "GPUs_DeviceName": "NVIDIA A100-SXM4-40GB", "GPUs_DriverVersion": 12.4, "GPUs_GlobalMemoryMb": 40_000,
    "has_avx": True, "has_avx2": True, "has_avx512_vnni": True, "has_avx512dq": True, "has_avx512f": True,
    "has_sse4_1": True, "has_sse4_2": True, "has_ssse3": True, "HasDocker": True, "HasSIF": True,
    "HasSingularity": True, "HasUdocker": True, "LastHeardFrom": _TIMESTAMP, "Microarch": "x86_64-v3",
    "OSPool": False, "ParallelSchedulingGroup": "cloud", "ProminenceCloud": "cloud",
    "ProminenceNodeGroup": "group", "ProminenceRegion": "region", "SingularityVersion": "1.4.5",
    "TotalTimeOwnerIdle": 1, "UdockerOfflineReason": "none", "WorkerEnds": 2 * _TIMESTAMP,
    "WorkerRetires": 2 * _TIMESTAMP,
    # Of an image that is baked --with ospool:
    "GLIDEIN_Country": "US", "GLIDEIN_ResourceName": "openstack-IU-mine",
    "GLIDEIN_Site": "openstack-IU", "GLIDEIN_ToDie": 2 * _TIMESTAMP, "GLIDEIN_ToRetire": 2 * _TIMESTAMP,
    "HAS_avx512bw": True, "HAS_avx512cd": True, "HAS_avx512vl": True, "HAS_cx16": True,
    "CVMFS_oasis_opensciencegrid_org_LAST_IOERR": -1, "CVMFS_oasis_opensciencegrid_org_NIOERR": 0,
    "CVMFS_oasis_opensciencegrid_org_REVISION": 20_000, "HAS_CVMFS_oasis_opensciencegrid_org": True,
    "HAS_CVMFS_singularity_opensciencegrid_org": True, "HAS_f16c": True, "HAS_GCC": False,
    "HAS_GPP": False, "Has_MPI": False, "HAS_NUMPY": False, "HAS_PYTHON": False, "HAS_PYTHON3": True,
    "HAS_R": False, "HAS_SINGULARITY": True, "HAS_TIMEOUT": True, "HAS_unsquashfs": True,
    "HAS_XRDCP": False, "HasExcessiveLoad": False, "Is_ITB_Site": False, "MappedUser": True,
    "MinimalHome": True, "OSDF_VERIFIED": True, "OSG_HOST_KERNEL_VERSION": 61_200,
    "OSG_NODE_VALIDATED": True, "OSG_NODE_WARNINGS": "none", "OSG_OS_KERNEL": "6.12.0-cloud-amd64",
    "OSG_OS_NAME": "RHEL", "OSG_OS_STRING": "RHEL 9", "OSG_OS_VERSION": "9",
    "OSGVO_OS_KERNEL": "6.12.0-cloud-amd64", "OSGVO_OS_NAME": "RHEL", "OSGVO_OS_STRING": "RHEL 9",
    "OSGVO_OS_VERSION": "9", "OUTBOUND_FIREWALL": False, "PORT_1094": True, "PORT_27017": True,
    "PORT_2880": True, "PORT_80": True, "PORT_8000": True, "PORT_8443": True,
    "PYTHON3_VERSION": "3.12.9", "PYTHON_VERSION": "3.12.9", "R_VERSION": "R version 4.5.0",
    "SHM_AVAILABLE": 16_000_000, "SINGULARITY_CAN_USE_REGISTRY": True, "SINGULARITY_CAN_USE_SIF": True,
    "SINGULARITY_DISK_IS_FULL": False,
    "SINGULARITY_PATH": "/usr/bin/apptainer", "SINGULARITY_VERSION": "1.4.5", "STASHCP_VERIFIED": True,
    "UID_MAPPED": True, "ULIMIT_STACK_SIZE": 8192, "VIRTUALIZATION_TECHNOLOGY": "kvm",
}  # fmt: skip

# Attributes with the same value on every worker that accepts jobs.
_CONSTANT_WORKER = """
Activity FileSystemDomain IsLocalStartd MachineResources MyType NODE_IS_HEALTHY NODE_STATUS OpSys
OpSysLegacy PartitionableSlot SlotID SlotType SlotTypeID State TargetType TotalSlots UidDomain
UtsnameSysname
"""
CONSTANT_WORKER = frozenset(_CONSTANT_WORKER.split())

JOB: Mapping[str, Any] = {
    "Arguments": "", "ClusterId": 1, "Cmd": "/home/somebody/job.sh", "CommittedSlotTime": 0,
    "CommittedSuspensionTime": 0, "CommittedTime": 0,
    "CondorPlatform": "$CondorPlatform: X86_64-Debian_13 $",
    "CondorVersion": "$CondorVersion: 23.9.6 2026-07-12 $", "CumulativeRemoteSysCpu": 0.0,
    "CumulativeRemoteUserCpu": 0.0, "CumulativeSlotTime": 0, "CumulativeSuspensionTime": 0,
    "CurrentHosts": 0, "DiskUsage": 1, "DiskUsage_RAW": 1, "EnteredCurrentStatus": _TIMESTAMP,
    "Environment": "", "Err": "job.err", "ExecutableSize": 1, "ExecutableSize_RAW": 1,
    "ExitBySignal": False, "ExitStatus": 0, "GlobalJobId": "ap.example#1.0#1700000000", "ImageSize": 1,
    "ImageSize_RAW": 1, "In": "/dev/null", "Iwd": "/home/somebody", "JobLeaseDuration": 2400,
    "JobNotification": 0, "JobPrio": 0, "JobStatus": 1, "JobSubmitFile": "job.sub", "JobSubmitMethod": 0,
    "JobUniverse": 5, "LastSuspensionTime": 0, "LeaveJobInQueue": False, "MaxHosts": 1, "MinHosts": 1,
    "MyType": "Job", "NumCkpts": 0, "NumCkpts_RAW": 0, "NumJobCompletions": 0, "NumJobStarts": 0,
    "NumRestarts": 0, "NumSystemHolds": 0, "Out": "job.out", "Owner": "somebody", "ProcId": 0,
    "QDate": _TIMESTAMP, "Rank": 0.0, "RemoteSysCpu": 0.0, "RemoteUserCpu": 0.0, "RemoteWallClockTime": 0.0,
    "RequestCpus": 1, "RequestDisk": 1_000_000, "RequestMemory": 1024,
    "Requirements": Expression("TARGET.Arch == \"X86_64\" && TARGET.Memory >= MY.RequestMemory"),
    "ServerTime": _TIMESTAMP, "ShouldTransferFiles": "YES", "StreamErr": False, "StreamOut": False,
    "TargetType": "Machine", "TotalSubmitProcs": 1, "TotalSuspensions": 0, "TransferIn": False,
    "TransferInputSizeMB": 0, "User": "somebody@access.example", "UserLog": "/home/somebody/job.log",
    "WhenToTransferOutput": "ON_EXIT",
}  # fmt: skip

# Attributes that some jobs have, each with a value of its type.
OPTIONAL_JOB: Mapping[str, Any] = {
    "AccountingGroup": "group.somebody", "AcctGroup": "group", "AcctGroupUser": "somebody",
    "AllowedExecuteDuration": 3600, "AllowedJobDuration": 3600, "AuthTokenIssuer": "issuer",
    "AuthTokenSubject": "somebody", "BatchQueue": "queue", "ConcurrencyLimits": "limit",
    "ContainerImage": "docker://debian", "CpusProvisioned": 1, "CumulativeTransferTime": 0,
    "DAGManJobId": 1, "DAGNodeName": "node", "DESIRED_Sites": "Site", "DockerImage": "debian",
    "EncryptExecuteDirectory": True, "GPUsMaxCapability": 9.0, "GPUsMinCapability": 7.0,
    "GPUsMinMemory": 8000, "GridResource": "batch", "HookKeyword": "hook", "InteractiveJob": True,
    "ITB_Sites": True, "JobDurationCategory": "Long",
    "JobBatchName": "batch", "JobDescription": "job", "JobDuration": 3600, "JobMaxRetries": 1,
    "JobRunCount": 1, "KeepClaimIdle": 60, "LastHoldReasonCode": 1, "LastRemoteHost": "slot1@worker",
    "MaxRetries": 1, "MaxTransferInputMB": 1000, "MaxWallTimeMins": 60, "MemoryUsage": 100,
    "NiceUser": True, "NumJobMatches": 1, "NumShadowStarts": 1, "OSGProjectName": "TG-SAMPLE",
    "OsUser": "somebody", "PreferredOS": "rhel9", "Project": "TG-SAMPLE", "ProjectName": "TG-SAMPLE",
    "RequestGPUs": 1, "ResidentSetSize": 1, "ResidentSetSize_RAW": 1,
    "Scheduler": "DedicatedScheduler@ap.example",
    "SingularityImage": "/cvmfs/image.sif", "SubmitSite": "Site", "SubmitterId": "ap.example",
    "TransferInput": "input", "TransferOutput": "output", "UNDESIRED_Sites": "Site", "Want_MPI": True,
    "WantCheckpoint": True, "WantContainer": True,
    "WantDocker": True, "WantFlocking": True, "WantGlidein": True, "WantGracefulRemoval": True,
    "WantIOProxy": True, "WantParallelScheduling": True, "WantRemoteIO": True, "WantSIF": True,
    "WantsStashCvmfs": True, "x509userproxy": "/tmp/proxy", "x509userproxysubject": "/CN=somebody",
    "x509UserProxyVOName": "osg",
}  # fmt: skip


@cache
def spellings(names: frozenset[str]) -> Mapping[str, str]:
    """Map each name in lower case to its spelling in HTCondor."""
    return {name.casefold(): name for name in names}


WORKER_ATTRIBUTES = frozenset({*WORKER, *OPTIONAL_WORKER})
JOB_ATTRIBUTES = frozenset({*JOB, *OPTIONAL_JOB})
