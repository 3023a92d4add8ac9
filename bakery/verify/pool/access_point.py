"""Configuration of an access point and a negotiator that handle jobs as the OSPool's do.

It is our own text. The behaviour is published in:

- `opensciencegrid/osg-flock`, commit ed35cb1 of 2026-08-18: `rpm/80-osg-flocking.conf` (access points),
  `ospool.osg-htc.org/production/htcondor-config.d/95_negotiator_osgflockgit.config`, and, for the
  test bed only, `ospool.osg-htc.org/development/htcondor-config.d/95_singularity_job_transforms.config`.
- `osg-htc/user-documentation`, commit 3069e00 of 2026-08-18: `workload_planning/jobdurationcategory.md`,
  `specific_resources/large-memory-jobs.md`.

Not reproduced: the default of +ProjectName, which no public configuration sets.
"""

from __future__ import annotations

_TRANSFERRED = "Should_Transfer_Container isnt false"
_PLUGINS = "TARGET.HasFileTransferPluginMethods"
# One transform for each requirement, so that `condor_q -af:r Requirements` can be read.
TRANSFORMS = f"""\
# --- The documentation's defaults ---------------------------------------------------------
JOB_DEFAULT_REQUESTMEMORY = 2048
JOB_TRANSFORM_NAMES = $(JOB_TRANSFORM_NAMES) Duration
JOB_TRANSFORM_Duration @=end
    REQUIREMENTS JobDurationCategory is undefined
    SET JobDurationCategory "Medium"
@end

# --- Requirements of +SingularityImage ----------------------------------------------
JOB_TRANSFORM_NAMES = $(JOB_TRANSFORM_NAMES) ImageRun, ImageSif, ImageRegistry, ImageCvmfs, ImagePlugin
JOB_TRANSFORM_ImageRun @=end
    REQUIREMENTS isString(SingularityImage) && SingularityImage != ""
    SET Requirements ($(MY.Requirements)) && TARGET.HasSingularity
@end
JOB_TRANSFORM_ImageSif @=end
    REQUIREMENTS regexp(".[.]sif$", SingularityImage) is true
    SET Requirements ($(MY.Requirements)) && TARGET.SINGULARITY_CAN_USE_SIF
@end
JOB_TRANSFORM_ImageRegistry @=end
    REQUIREMENTS regexp("^docker://", SingularityImage) is true
    SET Requirements ($(MY.Requirements)) && TARGET.SINGULARITY_CAN_USE_REGISTRY
@end
JOB_TRANSFORM_ImageCvmfs @=end
    REQUIREMENTS regexp("^/cvmfs/", SingularityImage) is true
    SET Requirements ($(MY.Requirements)) && TARGET.HAS_SINGULARITY
@end
JOB_TRANSFORM_ImagePlugin @=end
    REQUIREMENTS regexp("^(?!docker:)[^:/]+://", SingularityImage) is true && {_TRANSFERRED}
    EVALMACRO scheme = split(SingularityImage, ":")[0]
    SET Requirements ($(MY.Requirements)) && stringListIMember("$(scheme)", {_PLUGINS})
@end

# --- Form of the image's name, and its transfer ------------------------------------
# Add the registry and the repository that a docker:// URL omits.
JOB_TRANSFORM_NAMES = $(JOB_TRANSFORM_NAMES) ImageFile, DockerName, DockerHost, DockerOwner, DockerRegistry
JOB_TRANSFORM_ImageFile @=end
    REQUIREMENTS regexp("^(?!docker://|/cvmfs/).", SingularityImage) is true && {_TRANSFERRED}
    EVALMACRO before = TransferInput is undefined || TransferInput == "" ? "" : strcat(TransferInput, ",")
    EVALSET TransferInput strcat("$(before)", SingularityImage)
    COPY SingularityImage orig_SingularityImage
    EVALSET SingularityImage replace("^.*/", SingularityImage, "")
@end
JOB_TRANSFORM_DockerName @=end
    REQUIREMENTS regexp("^docker://[^/]+$", SingularityImage) is true
    COPY SingularityImage orig_SingularityImage
    EVALSET SingularityImage replace("^docker://", SingularityImage, "docker://docker.io/library/")
@end
JOB_TRANSFORM_DockerHost @=end
    REQUIREMENTS regexp("^docker://[^/]*[.:][^/]*/[^/]+$", SingularityImage) is true
    COPY SingularityImage orig_SingularityImage
    EVALSET SingularityImage replace("^docker://([^/]+)/", SingularityImage, "docker://\\\\1/library/")
@end
JOB_TRANSFORM_DockerOwner @=end
    REQUIREMENTS regexp("^docker://[^/.:]+/[^/]+$", SingularityImage) is true
    COPY SingularityImage orig_SingularityImage
    EVALSET SingularityImage replace("^docker://", SingularityImage, "docker://docker.io/")
@end
JOB_TRANSFORM_DockerRegistry @=end
    REQUIREMENTS regexp("^docker://[^/]+/[^/]+/[^/]+$", SingularityImage) is true
    EVALSET DockerRegistry replace("^docker://([^/:]+).*$", SingularityImage, "\\\\1")
@end
"""

# Connections to an access point are authenticated and encrypted; its history has the OSPool attribute of
# the slot of each job.
ACCESS_POINT = """\
SYSTEM_JOB_MACHINE_ATTRS = $(SYSTEM_JOB_MACHINE_ATTRS), OSPool
SCHEDD.SEC_CLIENT_AUTHENTICATION = REQUIRED
SCHEDD.SEC_CLIENT_ENCRYPTION = REQUIRED
SCHEDD.SEC_DEFAULT_ENCRYPTION = REQUIRED
"""

# Which slots the negotiator considers. The OSPool has two negotiators, for slots with OSPool = True and for
# other slots (of some users); here one serves both. Not reproduced, because software emulation is too slow:
# Mips > 11800 for slots with OSPool = True.
NEGOTIATOR = """\
VERSION_OF_SLOT = split(CondorVersion)[1]
SLOT_IS_SOUND = versioncmp($(VERSION_OF_SLOT), "24.12.0") =!= 0 \\
    && versioncmp($(VERSION_OF_SLOT), "24.12.1") =!= 0
SLOT_IS_NEW = versioncmp($(VERSION_OF_SLOT), "23.0.0") >= 0
SLOT_HAS_PELICAN = PelicanPluginVersion is undefined || versioncmp(PelicanPluginVersion, "7.11.0") >= 0
SLOT_HAS_PLUGIN = OSDF_PLUGIN_VERSION is undefined || versioncmp(OSDF_PLUGIN_VERSION, "7.11.0") >= 0
SLOT_HAS_NAME = isString(GLIDEIN_ResourceName) && GLIDEIN_ResourceName != "UNKNOWN"
SLOT_OF_ALL = $(SLOT_IS_NEW) && ($(SLOT_HAS_PELICAN)) && ($(SLOT_HAS_PLUGIN)) && $(SLOT_HAS_NAME)
NEGOTIATOR_SLOT_CONSTRAINT = $(SLOT_IS_SOUND) && (OSPool =!= True || ($(SLOT_OF_ALL)))
"""

CONFIG = ACCESS_POINT + TRANSFORMS + NEGOTIATOR
