"""Names that a Start may refer to: what jobs and machines have by themselves.

HTCondor's own and what OSG adds. Jobs may have more, of their submitter's
own; so a name that is not here is worth a warning, no more. ClassAds do not heed case.
"""

from __future__ import annotations

from bakery.userdata import ospool
from bakery.userdata.matchmaking import samples

# Beside those of the sample ads: of jobs that run or have run, and of those of special kinds.
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
# Beside those of the sample ads: of slots that are claimed, of pilots, of machines set up otherwise.
_OF_MACHINE = """
ClientMachine CollectorHost CpuBusyTime CpuIsBusy CurrentTime CVMFS_oasis_opensciencegrid_org_TIMESTAMP
Draining DrainingRequestId DynamicSlot GLIDECLIENT_Group GLIDEIN_ContainerTag GLIDEIN_Entry_Name
GLIDEIN_Factory GLIDEIN_Name GLIDEIN_Schedd Has_Singularity HasAlphafold3 HasApptainer HasContainer
HasCVMFS HasJava http_proxy IsBlackHole IsOsgVoContainer IsOwner IsWakeEnabled Kflops LastDrainStartTime
Mips OfflineUniverses OSG_DEFAULT_SINGULARITY_IMAGE OSG_GLIDEIN_VERSION OSG_INSTITUTION_ID
OSG_PROJECT_NAME RemoteOwner RemoteUser RoomForCPUOnlyJobs SharedDatasets SINGULARITY_START_CLAUSE
TotalClaimRunTime TotalJobRunTime TotalMachineDrainingBadput TotalTimeClaimedBusy
"""

JOB = frozenset(_OF_JOB.split()) | samples.JOBS
MACHINE = frozenset(_OF_MACHINE.split()) | samples.WORKERS | ospool.attributes()
