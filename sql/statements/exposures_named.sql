SELECT rootname FROM exposure WHERE rootname = ANY (CAST(:rootnames AS text[]))
