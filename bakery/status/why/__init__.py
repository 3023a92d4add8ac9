"""Why a job does not run on some workers: from their ads to the first thing to change."""
