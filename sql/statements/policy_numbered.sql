SELECT policy_id, name, version, content FROM policy WHERE kind = :kind AND policy_id = :policy_id
