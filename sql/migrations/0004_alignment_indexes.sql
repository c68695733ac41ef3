-- Of hundreds of thousands of exposures: the attempts of a group and of a run, and what of a solution is in force.

CREATE INDEX alignment_attempt_group ON alignment_attempt (alignment_group_id);
CREATE INDEX alignment_attempt_run ON alignment_attempt (run_id);
CREATE INDEX wcs_active_solution ON wcs_active (solution_id) WHERE upper_inf(during);
