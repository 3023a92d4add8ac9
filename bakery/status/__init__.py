"""Workers in a pool: from the ClassAds of a collector to rows and a summary."""
