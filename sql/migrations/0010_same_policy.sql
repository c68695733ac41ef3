-- Rules of products change often, most products not at all: which are proven to be the same under another policy.

CREATE TABLE product_policy_same (
    product_id bigint NOT NULL REFERENCES product,
    policy_id  bigint NOT NULL REFERENCES policy,
    run_id     bigint NOT NULL REFERENCES run,
    PRIMARY KEY (product_id, policy_id)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON product_policy_same
    FOR EACH ROW EXECUTE FUNCTION forbid_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON product_policy_same
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

COMMENT ON TABLE product_policy_same IS
    'Products whose parameters, and those of whose masks, are the same under a policy other than the one they were made under.';
COMMENT ON COLUMN product_policy_same.product_id IS 'the product';
COMMENT ON COLUMN product_policy_same.policy_id IS 'the policy that asks for the same product';
COMMENT ON COLUMN product_policy_same.run_id IS 'the run that put the policy in force';
