// Stand-in: overwrite me.
