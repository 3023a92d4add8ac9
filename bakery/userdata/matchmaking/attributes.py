"""The standard attributes of jobs and machines, to which a Start may refer.

They are those of HTCondor and of OSG. A submit file may set others, so an unknown name is only a warning.
The names of attributes in ClassAds are not case-sensitive.
"""

from __future__ import annotations

from bakery.userdata import ospool
from bakery.userdata.matchmaking import samples

# Besides those of the sample ads: attributes of running and completed jobs, and of special kinds of jobs.
_OF_JOB = """
AllRemoteHosts Args AuthTokenGroups AuthTokenId AuthTokenScopes AutoClusterAttrs AutoClusterId
BlockReadKbytes BlockReads BlockWriteKbytes BlockWrites BytesRecvd BytesSent CompletionDate
ContainerTargetDir CoreSize CpusUsage CronDayOfMonth CronDayOfWeek CronHour CronMinute CronMonth
DAGParentNodeNames DeferralPrepTime DeferralTime DeferralWindow DiskProvisioned EC2AccessKeyId Env
EraseOutputAndErrorOnRestart ExitCode ExitReason ExitSignal FileSystemDomain GLIDEIN_ClusterId
GPUsMinRuntime GPUsProvisioned GridJobId GridJobStatus HasApptainer HasSingularity HoldReason
HoldReasonCode HoldReasonSubCode InitialWaitDuration IsQueueSuperUser IwdFlushNFSCache
JobAdInformationAttrs JobBatchId JobCoreDumped JobCurrentStartDate JobCurrentStartExecutingDate
JobDisconnectedDate JobFinishedHookDone JobLastStartDate JobMachineAttrs JobMaterializeLimit
JobMaxVacateTime JobPid JobStartDate KillSig KillSigTimeout LastHoldReason LastJobStatus LastMatchTime
LastRejMatchReason LastRejMatchTime LastRemotePool LastRemoteWallClockTime LastVacateTime LocalSysCpu
LocalUserCpu MaxJobRetirementTime MaxTransferOutputMB MemoryProvisioned NextJobStartDelay
NumJobReconnects NumPids NumShadowExceptions OnExitHold OnExitHoldReason OnExitRemove
OtherJobRemoveRequirements OutputDestination PeriodicHold PeriodicHoldReason PeriodicRelease
PeriodicRemove PostArguments PostCmd PreArguments PreCmd ProportionalSetSizeKb ReleaseReason RemoteHost
RemoteOwner RemotePool RemoteSlotID RemoveReason RequestVirtualMemory RequireGPUs RootDir ShadowBday
StackSize StageInFinish StageInStart StartdPrincipal StreamIn SubmitEventNotes SubmitterName
SuccessCheckpointExitCode TransferCheckpoint TransferContainer TransferErr TransferExecutable
TransferOut TransferOutputRemaps TransferPlugins TransferQueued TransferringInput TransferringOutput
UidDomain use_oauth_services VacateReason WantTransferPluginMethods x509UserProxyEmail
x509UserProxyExpiration x509UserProxyFirstFQAN x509UserProxyFQAN
"""
# Besides those of the sample ads: attributes of claimed slots, of pilots, of other configurations.
_OF_MACHINE = """
ClientMachine CollectorHost CpuBusyTime CpuIsBusy CurrentTime CVMFS_oasis_opensciencegrid_org_TIMESTAMP
Draining DrainingRequestId DynamicSlot GLIDECLIENT_Group GLIDEIN_ContainerTag GLIDEIN_Entry_Name
GLIDEIN_Factory GLIDEIN_Name GLIDEIN_Schedd Has_Singularity HasAlphafold3 HasApptainer HasContainer
HasCVMFS HasJava http_proxy IsBlackHole IsOsgVoContainer IsOwner IsWakeEnabled Kflops LastDrainStartTime
Mips OfflineUniverses OSG_DEFAULT_SINGULARITY_IMAGE OSG_GLIDEIN_VERSION OSG_INSTITUTION_ID
OSG_PROJECT_NAME RemoteOwner RemoteUser RoomForCPUOnlyJobs SharedDatasets SINGULARITY_START_CLAUSE
TotalClaimRunTime TotalJobRunTime TotalMachineDrainingBadput TotalTimeClaimedBusy
"""

JOB = frozenset(_OF_JOB.split()) | samples.JOB_ATTRIBUTES
MACHINE = frozenset(_OF_MACHINE.split()) | samples.WORKER_ATTRIBUTES | ospool.attributes()
