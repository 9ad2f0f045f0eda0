//! Evaluation of intrinsics. It is lazy: only values that the emulation reads are resolved, so a template may use
//! resources and functions that have no meaning on one machine in any other place.
//!
//! Follows "Intrinsic function reference" and "Pseudo parameters reference" of the AWS CloudFormation User Guide.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    Mistake,
    node::{Node, NodeKind},
};

/// AWS account of every local ARN.
pub const ACCOUNT: &str = "123456789012";
/// AWS region of every local ARN.
pub const REGION: &str = "us-east-1";
/// Id of the API in every local ARN.
pub const API_ID: &str = "leveelocal";

/// Names and their values during the evaluation of the template.
pub(crate) struct Scope<'a> {
    parameters: Option<&'a Node>,
    conditions: Option<&'a Node>,
    resources: Option<&'a Node>,
    /// Values of `Ref` for the resources that exist here.
    references: BTreeMap<String, String>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(template: &'a Node) -> Self {
        Self {
            parameters: template.get("Parameters"),
            conditions: template.get("Conditions"),
            resources: template.get("Resources"),
            references: BTreeMap::new(),
        }
    }

    /// Defines the value of `Ref: resource`.
    pub(crate) fn define(&mut self, resource: &str, value: &str) {
        self.references.insert(resource.to_owned(), value.to_owned());
    }

    /// Evaluates the outermost intrinsics of a node. Returns `None` for `AWS::NoValue`.
    pub(crate) fn resolve<'n>(&self, node: &'n Node) -> Result<Option<Cow<'n, Node>>, Mistake> {
        let NodeKind::Intrinsic(name, argument) = &node.kind else { return Ok(Some(Cow::Borrowed(node))) };
        let text = |value: String| Ok(Some(Cow::Owned(Node::scalar(node.line, value))));
        // `GetAtt` is known but has no value here; other intrinsics are not emulated.
        match name.as_str() {
            "Ref" => match plain(argument, "Ref")? {
                "AWS::NoValue" => Ok(None),
                target => text(self.reference(target, node.line)?),
            },
            "If" => {
                let [condition, yes, no] = arguments(argument, "If")?;
                let holds = self.condition(plain(condition, "If")?, condition.line)?;
                self.resolve(if holds { yes } else { no })
            }
            "Sub" => text(self.substitute(argument)?),
            "Join" => {
                let [delimiter, list] = arguments(argument, "Join")?;
                let delimiter = self.text(delimiter)?;
                text(
                    self.list(list)?
                        .iter()
                        .map(|item| self.text(item))
                        .collect::<Result<Vec<_>, _>>()?
                        .join(&delimiter),
                )
            }
            "GetAtt" => {
                let [resource, attribute] = arguments(argument, "GetAtt")?;
                let (resource, attribute) = (self.text(resource)?, self.text(attribute)?);
                Err(Mistake::new(node.line, format!("{resource}.{attribute} has no value on this machine")))
            }
            other => Err(Mistake::new(node.line, format!("the intrinsic {other} is not emulated"))),
        }
    }

    /// Returns the text of a node that has to evaluate to a string, number or boolean.
    pub(crate) fn text(&self, node: &Node) -> Result<String, Mistake> {
        self.optional_text(node)?.ok_or_else(|| Mistake::new(node.line, "a value is needed here"))
    }

    /// Works as [`Scope::text`], but returns `None` for `AWS::NoValue`.
    pub(crate) fn optional_text(&self, node: &Node) -> Result<Option<String>, Mistake> {
        match self.resolve(node)?.map(Cow::into_owned) {
            None => Ok(None),
            Some(Node { kind: NodeKind::Scalar(text), .. }) => Ok(Some(text)),
            Some(_) => Err(Mistake::new(node.line, "a string, number or boolean is needed here")),
        }
    }

    /// Returns a whole number, which may be written as text.
    pub(crate) fn number(&self, node: &Node) -> Result<u64, Mistake> {
        let text = self.text(node)?;
        text.parse().map_err(|_| Mistake::new(node.line, format!("a whole number is needed here, not {text:?}")))
    }

    /// Returns `true` or `false`, which may be written as text.
    pub(crate) fn boolean(&self, node: &Node) -> Result<bool, Mistake> {
        match self.text(node)?.as_str() {
            "true" | "True" => Ok(true),
            "false" | "False" => Ok(false),
            other => Err(Mistake::new(node.line, format!("true or false is needed here, not {other:?}"))),
        }
    }

    /// Returns the items of a list, without those that evaluate to `AWS::NoValue`.
    pub(crate) fn list(&self, node: &Node) -> Result<Vec<Node>, Mistake> {
        match self.resolve(node)?.map(Cow::into_owned) {
            None => Ok(Vec::new()),
            Some(Node { kind: NodeKind::List(items), .. }) => {
                let items = items.iter().map(|item| Ok(self.resolve(item)?.map(Cow::into_owned)));
                Ok(items.collect::<Result<Vec<_>, Mistake>>()?.into_iter().flatten().collect())
            }
            // Split a parameter of type CommaDelimitedList.
            Some(Node { kind: NodeKind::Scalar(text), line }) => {
                Ok(text.split(',').map(|item| Node::scalar(line, item.trim())).collect())
            }
            Some(_) => Err(Mistake::new(node.line, "a list is needed here")),
        }
    }

    /// Returns true if a named condition holds.
    pub(crate) fn condition(&self, name: &str, line: usize) -> Result<bool, Mistake> {
        let condition = self.conditions.and_then(|conditions| conditions.get(name));
        self.holds(condition.ok_or_else(|| Mistake::new(line, format!("there is no condition {name}")))?)
    }

    fn holds(&self, node: &Node) -> Result<bool, Mistake> {
        if let Some(name) = node.get("Condition") {
            return self.condition(plain(name, "Condition")?, name.line);
        }
        let NodeKind::Intrinsic(name, argument) = &node.kind else {
            return Err(Mistake::new(node.line, "a condition function is needed here"));
        };
        let all = || self.list_of_conditions(argument);
        match name.as_str() {
            "Condition" => self.condition(plain(argument, "Condition")?, node.line),
            "Equals" => {
                let [left, right] = arguments(argument, "Equals")?;
                Ok(self.text(left)? == self.text(right)?)
            }
            "Not" => Ok(!all()?.iter().any(|holds| *holds)),
            "And" => Ok(all()?.iter().all(|holds| *holds)),
            "Or" => Ok(all()?.iter().any(|holds| *holds)),
            other => Err(Mistake::new(node.line, format!("the condition function {other} is not emulated"))),
        }
    }

    fn list_of_conditions(&self, argument: &Node) -> Result<Vec<bool>, Mistake> {
        match &argument.kind {
            NodeKind::List(items) => items.iter().map(|item| self.holds(item)).collect(),
            _ => Err(Mistake::new(argument.line, "a list of conditions is needed here")),
        }
    }

    fn reference(&self, name: &str, line: usize) -> Result<String, Mistake> {
        let pseudo = match name {
            "AWS::AccountId" => ACCOUNT,
            "AWS::Region" => REGION,
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => "amazonaws.com",
            "AWS::StackName" => "levee-local",
            "AWS::StackId" => "arn:aws:cloudformation:us-east-1:123456789012:stack/levee-local/0",
            _ => "",
        };
        if !pseudo.is_empty() {
            return Ok(pseudo.to_owned());
        }
        // A parameter's default, then a resource that exists here.
        if let Some(parameter) = self.parameters.and_then(|parameters| parameters.get(name)) {
            return match parameter.get("Default").map(|default| &default.kind) {
                Some(NodeKind::Scalar(value)) => Ok(value.clone()),
                Some(NodeKind::Null) => Ok(String::new()),
                _ => Err(Mistake::new(line, format!("the parameter {name} has no default to use on this machine"))),
            };
        }
        if let Some(value) = self.references.get(name) {
            return Ok(value.clone());
        }
        let known = self.resources.is_some_and(|resources| resources.get(name).is_some());
        let why = if known { "has no value on this machine" } else { "is neither a parameter nor a resource" };
        Err(Mistake::new(line, format!("{name} {why}")))
    }

    /// Evaluates `Fn::Sub`, of a string or of a list with a string and a map of additional names.
    fn substitute(&self, argument: &Node) -> Result<String, Mistake> {
        let (template, extra) = match &argument.kind {
            NodeKind::List(items) => match items.as_slice() {
                [template, extra] => (template, Some(extra)),
                _ => return Err(Mistake::new(argument.line, "Sub takes a string, or a string and a map")),
            },
            _ => (argument, None),
        };
        let mut rest = plain(template, "Sub")?;
        let mut text = String::new();
        // Replace one `${…}` after the other; `${!literal}` stays.
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| Mistake::new(template.line, "a ${ in Sub is not closed"))?;
            text.push_str(before);
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                text.push_str(&format!("${{{literal}}}"));
            } else if let Some(value) = extra.and_then(|extra| extra.get(name.trim())) {
                text.push_str(&self.text(value)?);
            } else if name.contains('.') {
                return Err(Mistake::new(template.line, format!("{name} has no value on this machine")));
            } else {
                text.push_str(&self.reference(name.trim(), template.line)?);
            }
        }
        Ok(text + rest)
    }
}

fn plain<'n>(node: &'n Node, what: &str) -> Result<&'n str, Mistake> {
    match &node.kind {
        NodeKind::Scalar(text) => Ok(text),
        _ => Err(Mistake::new(node.line, format!("{what} takes a plain string here"))),
    }
}

fn arguments<'n, const N: usize>(node: &'n Node, what: &str) -> Result<&'n [Node; N], Mistake> {
    match &node.kind {
        NodeKind::List(items) => items.as_slice().try_into().ok(),
        _ => None,
    }
    .ok_or_else(|| Mistake::new(node.line, format!("{what} takes a list of {N}")))
}

#[cfg(test)]
mod tests {
    use super::{super::node, *};

    const TEMPLATE: &str = r"
Parameters:
  Kind: {Type: String, Default: small}
  Unset: {Type: String}
Conditions:
  Small: !Equals [!Ref Kind, small]
  Large: !Not [Condition: Small]
  Both: !And [!Condition Small, !Condition Large]
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Bucket: {Type: AWS::S3::Bucket}
Values:
  sub: !Sub 'arn:${AWS::Partition}:${Kind}:${!literal}:${Table}'
  sub-list: !Sub ['${x}-${Kind}', {x: !Ref AWS::Region}]
  long: {'Fn::Join': ['-', [a, !Ref Kind, !Ref AWS::NoValue]]}
  if: !If [Large, no, !If [Small, yes it is, no]]
  gone: !If [Both, x, !Ref AWS::NoValue]
  unset: !Ref Unset
  bucket: !Ref Bucket
  unknown: !Ref Nothing
  attribute: !GetAtt Bucket.Arn
  split: !Split [',', a]
";

    fn value(name: &str) -> Result<Option<String>, Mistake> {
        let template = node::parse(TEMPLATE).unwrap();
        let mut scope = Scope::new(&template);
        scope.define("Table", "table");
        scope.optional_text(template.get("Values").unwrap().get(name).unwrap())
    }

    #[test]
    fn intrinsics_come_to_their_values() {
        assert_eq!(value("sub").unwrap().unwrap(), "arn:aws:small:${literal}:table");
        assert_eq!(value("sub-list").unwrap().unwrap(), "us-east-1-small");
        assert_eq!(value("long").unwrap().unwrap(), "a-small");
        assert_eq!(value("if").unwrap().unwrap(), "yes it is");
        assert_eq!(value("gone").unwrap(), None);
    }

    #[test]
    fn what_has_no_value_here_names_its_line() {
        let complaint = |name| value(name).unwrap_err().to_string();
        assert_eq!(complaint("unset"), "18: the parameter Unset has no default to use on this machine");
        assert_eq!(complaint("bucket"), "19: Bucket has no value on this machine");
        assert_eq!(complaint("unknown"), "20: Nothing is neither a parameter nor a resource");
        assert_eq!(complaint("attribute"), "21: Bucket.Arn has no value on this machine");
        assert_eq!(complaint("split"), "22: the intrinsic Split is not emulated");
    }
}
