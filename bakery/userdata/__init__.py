"""Before a worker is launched: are its token, its Start and its user-data what they should be?"""
