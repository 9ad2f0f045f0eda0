//! Charges of a call: the policies that apply to it, with their limits, subjects and weights.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::{LimitsConfig, StackMode};
use super::overrides::{Level, Overrides};
use super::policy::{Algorithm, Charge, Class, Mode, Policy, PolicyScope, Subject};
use crate::clock::Timestamp;

/// Call that is to be charged.
#[derive(Debug, Clone, Copy)]
pub struct ChargedCall<'a> {
    /// Class of the call.
    pub class: Class,
    /// Resource of the route, such as `/v1/messages`.
    pub resource: &'a str,
    /// Pseudonym of the client's address; `None` if the call is not counted by address.
    pub address: Option<&'a str>,
    /// Caller; `None` if it is not known.
    pub party: Option<Party<'a>>,
    /// Overrides for the whole platform.
    pub platform: &'a Overrides,
}

/// Caller of a call, with the overrides that admins set for it.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// The account's id.
    pub account: &'a str,
    /// The integration's id.
    pub integration: &'a str,
    /// The key's id.
    pub key: &'a str,
    /// The account's overrides.
    pub of_account: &'a Overrides,
    /// The integration's overrides.
    pub of_integration: &'a Overrides,
    /// The key's overrides.
    pub of_key: &'a Overrides,
}

impl Party<'_> {
    /// Returns the id that stands for the caller at `level`, for a count of its own.
    fn id(&self, level: Level) -> String {
        match level {
            Level::Platform => "all".to_owned(),
            Level::Account => self.account.to_owned(),
            Level::Integration => format!("{}/{}", self.account, self.integration),
            Level::Key => self.key.to_owned(),
        }
    }
}

impl LimitsConfig {
    /// Returns the charges of the call `asked`: policies by windows first, then those of calls in flight, each in
    /// order of scope, narrowest first. Policies that are off, and those in which the call weighs 0, are left out.
    pub fn charges(&self, asked: &ChargedCall<'_>, now: Timestamp) -> Vec<Charge> {
        let mut charges = Vec::with_capacity(self.policies.len() + 2);
        for policy in self.policies.iter().filter(|policy| policy.classes.contains(&asked.class)) {
            let Some(Effective { policy, own, .. }) = self.effective(policy, asked, now) else { continue };
            let Some(subject) = subject(&policy, own, asked) else { continue };
            // A call takes one place in flight, whatever its weight.
            let heaviest = if policy.algorithm == Algorithm::Concurrency { 1 } else { u64::MAX };
            let weight = policy.weight(asked.resource).min(heaviest);
            if weight == 0 {
                continue;
            }
            // Charge the account's share of the pool before the pool itself: the narrower scope first.
            if let (PolicyScope::Global, Some(party)) = (policy.scope, asked.party) {
                let subject = Subject(party.account.to_owned());
                charges.push(Charge { policy: Arc::new(self.share(&policy)), subject, weight });
            }
            charges.push(Charge { policy, subject, weight });
        }
        charges.sort_by_key(|charge| charge.policy.algorithm == Algorithm::Concurrency);
        charges
    }

    /// Returns the policy with its overrides and grants applied; `None` if the policy does not apply.
    pub(super) fn effective(&self, policy: &Arc<Policy>, asked: &ChargedCall<'_>, now: Timestamp) -> Option<Effective> {
        let mut policy = Arc::clone(policy);
        let (mut own, mut source, mut until) = (None, LimitSource::Default, None);
        let places = [
            (Level::Platform, Some(asked.platform)),
            (Level::Account, asked.party.map(|party| party.of_account)),
            (Level::Integration, asked.party.map(|party| party.of_integration)),
            (Level::Key, asked.party.map(|party| party.of_key)),
        ];
        // Apply the changes from the widest level to the narrowest. A limit set at a narrower level ends an exemption.
        let mut exempt = false;
        let mut standard = policy.limit;
        for (level, overrides) in places {
            let entry = overrides.and_then(|overrides| overrides.get(&policy.name));
            let Some(entry) = entry.filter(|_| level.may_override(policy.scope)) else { continue };
            if entry.is_live(now) {
                exempt = entry.exempt || (exempt && entry.limit.is_none());
                own = (level != Level::Platform).then_some(level).or(own);
                if entry.limit.is_some() || entry.mode.is_some() {
                    let policy = Arc::make_mut(&mut policy);
                    policy.limit = entry.limit.unwrap_or(policy.limit);
                    policy.mode = entry.mode.unwrap_or(policy.mode);
                }
                match level {
                    Level::Platform => standard = policy.limit,
                    _ if entry.limit.is_some() => (source, until) = (LimitSource::Override, entry.until),
                    _ => {}
                }
            }
            // A grant raises the limit that holds otherwise. A policy that is off stays off.
            if let Some(grant) = entry.grant.as_ref().filter(|grant| grant.is_live(now))
                && (1..grant.limit).contains(&policy.limit)
            {
                Arc::make_mut(&mut policy).limit = grant.limit;
                (source, until) = (LimitSource::Grant, grant.until);
            }
        }
        // Leave out exempt policies and those that are off.
        if exempt || policy.limit == 0 {
            return None;
        }
        if self.mode == StackMode::Shadow && policy.mode != Mode::Shadow {
            Arc::make_mut(&mut policy).mode = Mode::Shadow;
        }
        Some(Effective { policy, own, source, until, standard })
    }

    /// Returns the policy for one account's share of the pool.
    pub(super) fn share(&self, pool: &Policy) -> Policy {
        let limit = pool.limit.saturating_mul(self.share_percent).div_ceil(100);
        Policy { name: format!("{}-share", pool.name), scope: PolicyScope::Share, limit, ..pool.clone() }
    }
}

/// Origin of a limit, as its account sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitSource {
    /// The platform's limit for all accounts.
    Default,
    /// An admin's override for the account, the integration or the key.
    Override,
    /// A grant that followed from a request.
    Grant,
}

/// Policy as it applies to one caller.
pub(super) struct Effective {
    /// Policy with the limit and the mode that apply.
    pub policy: Arc<Policy>,
    /// Narrowest level below the platform with an override.
    pub own: Option<Level>,
    /// Origin of the limit.
    pub source: LimitSource,
    /// Time at which the limit ends, Unix seconds; `None` if it does not.
    pub until: Option<u64>,
    /// Limit for all accounts; 0 if the policy is off for them.
    pub standard: u64,
}

/// Returns the subject that is charged under `policy`; `own` is the narrowest level with an override of its own.
pub(super) fn subject(policy: &Policy, own: Option<Level>, asked: &ChargedCall<'_>) -> Option<Subject> {
    let party = asked.party;
    let id = match policy.scope {
        // Many accounts may share one address, and none may use up another's quota.
        PolicyScope::ClientAddress => match party {
            Some(party) => format!("{}@{}", asked.address?, party.id(own.unwrap_or(Level::Account))),
            None => asked.address?.to_owned(),
        },
        PolicyScope::Key => party?.key.to_owned(),
        PolicyScope::Integration => party?.id(Level::Integration),
        PolicyScope::AccountClass => format!("{}/{}", party?.account, asked.class.name()),
        PolicyScope::Account | PolicyScope::Share => party?.account.to_owned(),
        PolicyScope::Global => "all".to_owned(),
    };
    Some(Subject(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::overrides::{Grant, Override};

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_030);

    fn described(config: &LimitsConfig, asked: &ChargedCall<'_>) -> Vec<String> {
        let tell = |Charge { policy, subject, weight }: Charge| {
            format!("{} {} {}*{weight}", policy.name, subject.0, policy.limit)
        };
        config.charges(asked, NOW).into_iter().map(tell).collect()
    }

    fn limit(limit: u64) -> Override {
        Override { limit: Some(limit), ..Override::default() }
    }

    fn overrides<const N: usize>(changes: [(&str, Override); N]) -> Overrides {
        changes.map(|(name, change)| (name.to_owned(), change)).into()
    }

    /// Returns the charges of an AI call with overrides of platform, account, integration and key.
    fn ai_call(config: &LimitsConfig, [platform, of_account, of_integration, of_key]: &[Overrides; 4]) -> Vec<String> {
        let party = Party { account: "acme", integration: "crm", key: "k1", of_account, of_integration, of_key };
        let (class, resource) = (Class::Ai, "/v1/messages");
        described(config, &ChargedCall { class, resource, address: Some("a1b2"), party: Some(party), platform })
    }

    #[test]
    fn an_ai_call_is_charged_narrowest_first_and_calls_in_flight_last() {
        assert_eq!(
            ai_call(&LimitsConfig::default(), &Default::default()),
            [
                "ai-address a1b2@acme 30*1",
                "integration acme/crm 300*1",
                "account acme 600*1",
                "global-share acme 1200*1",
                "global all 6000*1",
                "in-flight acme 20*1",
                "global-in-flight-share acme 80*1",
                "global-in-flight all 400*1",
            ]
        );
    }

    #[test]
    fn the_narrowest_override_wins_and_a_limit_turns_a_policy_on_that_is_off() {
        let config = LimitsConfig::default().with(&[("global", 0), ("global-in-flight", 0), ("in-flight", 0)]);
        let changes = [
            overrides([("account", limit(1)), ("integration", limit(2))]),
            overrides([("account", limit(10)), ("integration", limit(20)), ("key", limit(30))]),
            overrides([("integration", limit(200)), ("account", limit(999))]),
            overrides([("key", limit(300)), ("integration", limit(999))]),
        ];
        assert_eq!(
            ai_call(&config, &changes),
            ["ai-address a1b2@acme 30*1", "key k1 300*1", "integration acme/crm 200*1", "account acme 10*1"],
            "an integration has no say about its account, nor a key about its integration"
        );
    }

    #[test]
    fn a_grant_raises_the_limit_that_holds_otherwise_until_it_ends_and_never_lowers_it() {
        let config = LimitsConfig::default();
        let granted = |change: Override, limit, until| {
            let grant = Grant { limit, until, granted_at: 0, request: "r".to_owned() };
            [
                Overrides::new(),
                overrides([("account", Override { grant: Some(grant), ..change })]),
                Overrides::new(),
                Overrides::new(),
            ]
        };
        let later = Some(NOW.as_secs() + 1);
        for (change, granted_limit, until, expected) in [
            (Override::default(), 1_000, None, 1_000),
            (Override::default(), 1_000, later, 1_000),
            (Override::default(), 1_000, Some(NOW.as_secs()), 600),
            (Override::default(), 500, None, 600),
            (limit(100), 500, None, 500),
            (limit(900), 500, None, 900),
            // An override that has ended leaves the grant in force.
            (Override { until: Some(NOW.as_secs()), ..limit(900) }, 700, later, 700),
        ] {
            let charges = ai_call(&config, &granted(change, granted_limit, until));
            assert!(charges.contains(&format!("account acme {expected}*1")), "{charges:?}");
        }
        // An exemption and a policy that is off stay as they are.
        let exempt = Override { exempt: true, ..Override::default() };
        assert!(!ai_call(&config, &granted(exempt, 900, None)).iter().any(|it| it.starts_with("account ")));
        let off = config.with(&[("account", 0)]);
        assert!(!ai_call(&off, &granted(Override::default(), 9, None)).iter().any(|it| it.starts_with("account ")));
    }

    #[test]
    fn an_address_has_a_count_for_each_account_and_the_place_of_an_override_and_an_exemption_has_none() {
        let config = LimitsConfig::default();
        let of_account =
            |change| [Overrides::new(), overrides([("ai-address", change)]), Overrides::new(), Overrides::new()];
        assert_eq!(ai_call(&config, &of_account(limit(90)))[0], "ai-address a1b2@acme 90*1");
        let exempt = Override { exempt: true, ..Override::default() };
        assert_eq!(ai_call(&config, &of_account(exempt.clone()))[0], "integration acme/crm 300*1");
        let over = Override { until: Some(NOW.as_secs()), ..exempt };
        assert_eq!(ai_call(&config, &of_account(over))[0], "ai-address a1b2@acme 30*1");
    }

    #[test]
    fn a_mode_of_its_own_changes_no_count_and_leaves_exempt_what_was() {
        let config = LimitsConfig::default();
        let warn = Override { mode: Some(Mode::Warn), ..Override::default() };
        let of_account = |change| overrides([("ai-address", change)]);
        let mut changes = [Overrides::new(), of_account(warn.clone()), Overrides::new(), Overrides::new()];
        assert_eq!(ai_call(&config, &changes)[0], "ai-address a1b2@acme 30*1");
        changes[1] = of_account(Override { exempt: true, ..Override::default() });
        changes[3] = of_account(warn);
        assert_eq!(ai_call(&config, &changes)[0], "integration acme/crm 300*1");
        changes[3] = of_account(limit(5));
        assert_eq!(ai_call(&config, &changes)[0], "ai-address a1b2@k1 5*1");
    }

    #[test]
    fn a_call_without_a_message_counts_for_no_address_and_is_not_in_flight() {
        let none = Overrides::new();
        let (of_account, of_integration, of_key) = (&none, &none, &none);
        let party = Party { account: "acme", integration: "crm", key: "k1", of_account, of_integration, of_key };
        let charged = |resource| {
            let (class, address) = (Class::Ai, Some("a1b2"));
            described(
                &LimitsConfig::default(),
                &ChargedCall { class, resource, address, party: Some(party), platform: &none },
            )
        };
        let common = ["account acme 600*1", "global-share acme 1200*1", "global all 6000*1"];
        let counted = ["integration acme/crm 300*1", "count-tokens acme 120*1"];
        assert_eq!(charged("/v1/messages/count_tokens"), [&counted[..], &common].concat());
        for resource in ["/v1/models", "/v1/models/{id}"] {
            assert_eq!(charged(resource), [&counted[..1], &common].concat(), "{resource}");
        }
    }

    #[test]
    fn failed_attempts_and_sign_ins_are_counted_for_the_address_alone() {
        let platform = Overrides::new();
        for (class, resource, expected) in [
            (Class::FailedAuth, "/v1/messages", "failed-auth-address a1b2 20*1"),
            (Class::Login, "/login", "login-address a1b2 10*1"),
        ] {
            let asked = ChargedCall { class, resource, address: Some("a1b2"), party: None, platform: &platform };
            assert_eq!(described(&LimitsConfig::default(), &asked), [expected]);
        }
    }

    #[test]
    fn the_share_follows_the_pool_that_an_admin_changes() {
        let changes = [overrides([("global", limit(101))]), Overrides::new(), Overrides::new(), Overrides::new()];
        let charges = ai_call(&LimitsConfig::default(), &changes);
        assert_eq!(charges[3..5], ["global-share acme 21*1", "global all 101*1"]);
    }

    #[test]
    fn in_a_shadow_stack_no_policy_refuses() {
        let config = LimitsConfig { mode: StackMode::Shadow, ..LimitsConfig::default() };
        let platform = Overrides::new();
        let asked = ChargedCall {
            class: Class::Login,
            resource: "/login",
            address: Some("a1b2"),
            party: None,
            platform: &platform,
        };
        let charges = config.charges(&asked, NOW);
        assert_eq!(charges.len(), 1);
        assert!(charges.iter().all(|charge| charge.policy.mode == Mode::Shadow && !charge.policy.is_public()));
    }

    #[test]
    fn a_call_of_weight_nothing_is_not_charged_and_one_without_an_address_not_per_address() {
        let entries = r#"[{"name":"account","weights":{"/v1/models":0,"/v1/messages":5}},
            {"name":"in-flight","weights":{"/v1/models":0,"/v1/messages":5}}]"#;
        let lookup = |name: &str| (name == "LIMIT_POLICIES").then(|| entries.to_owned());
        let config = crate::config::from_lookup(lookup, LimitsConfig::read).unwrap();
        let config = config.with(&[("global", 0), ("global-in-flight", 0)]);
        let none = Overrides::new();
        let (of_account, of_integration, of_key) = (&none, &none, &none);
        let party = Party { account: "acme", integration: "crm", key: "k1", of_account, of_integration, of_key };
        let asked =
            |resource| ChargedCall { class: Class::Ai, resource, address: None, party: Some(party), platform: &none };
        assert_eq!(described(&config, &asked("/v1/models")), ["integration acme/crm 300*1"]);
        assert_eq!(
            described(&config, &asked("/v1/messages")),
            ["integration acme/crm 300*1", "account acme 600*5", "in-flight acme 20*1"]
        );
    }
}
