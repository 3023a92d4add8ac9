"""HTCondor IDTOKENs: their claims and problems; how to sign, obtain and try one."""
