//! How sums are written.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, Update};

use super::Ledger;
use super::write::text;
use crate::metering::call::Call;
use crate::metering::month::Month;
use crate::metering::tally::Tally;
use crate::metering::usage::Service;

/// How the sort keys of a month's sums begin.
pub(in crate::metering) const TOTAL: &str = "TOTAL#";
/// How the sort keys of a month's details begin.
pub(in crate::metering) const DAY: &str = "DAY#";

/// The partition of an account's month.
pub(in crate::metering) fn month_key(account: &str, month: Month) -> String {
    format!("MONTH#{account}#{month}")
}

impl Ledger {
    pub(super) fn add_to_month(&self, call: &Call, change: &Tally, shard: u8) -> Result<Update, BuildError> {
        let (month, _) = Month::of(call.started_at());
        self.add(month_key(&call.account, month), format!("{TOTAL}{shard}"), &[], change)
    }

    /// Adds `change` to the line of the call's day, integration and model that `service` has; without one, to that of
    /// records without parts.
    pub(super) fn add_to_day(
        &self,
        call: &Call,
        service: Option<&Service>,
        change: &Tally,
        shard: u8,
    ) -> Result<Update, BuildError> {
        let (month, day) = Month::of(call.started_at());
        let Call { account, integration, model, kind, provider, .. } = call;
        let number = |number: String| AttributeValue::N(number);
        let mut told = vec![
            ("day", number(day.to_string())),
            ("integration", text(integration)),
            ("kind", text(&kind.to_string())),
            ("model", text(model)),
        ];
        let mut sort = format!("{DAY}{day:02}#{integration}#{model}#");
        if let Some(Service { model: served, tier, speed, geo, prompt_above }) = service {
            let tier = tier.name();
            sort += &format!("{provider}#{served}#{tier}#{speed}#{geo}#{prompt_above}#");
            told.extend([
                ("provider", text(provider)),
                ("served", text(served)),
                ("tier", text(tier)),
                ("speed", text(speed)),
                ("geo", text(geo)),
                ("prompt_above", number(prompt_above.to_string())),
            ]);
        }
        self.add(month_key(account, month), format!("{sort}{shard}"), &told, change)
    }

    /// Adds `change` to a part of the sums, which says of itself what is `told`.
    fn add(
        &self,
        partition: String,
        sort: String,
        told: &[(&str, AttributeValue)],
        change: &Tally,
    ) -> Result<Update, BuildError> {
        let key = [("pk".to_owned(), AttributeValue::S(partition)), ("sk".to_owned(), AttributeValue::S(sort))];
        let mut update = Update::builder().table_name(&self.table).set_key(Some(key.into()));
        let mut set = Vec::new();
        for (name, value) in told {
            set.push(format!("#{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), *name)
                .expression_attribute_values(format!(":{name}"), value.clone());
        }
        let mut add = Vec::new();
        for (name, value) in Tally::NAMES.into_iter().zip(change.values()) {
            add.push(format!("#{name} :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), AttributeValue::N(value.to_string()));
        }
        let set = if set.is_empty() { String::new() } else { format!("SET {} ", set.join(", ")) };
        update.update_expression(format!("{set}ADD {}", add.join(", "))).build()
    }
}
