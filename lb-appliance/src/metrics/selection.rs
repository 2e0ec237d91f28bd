//! Which groups of metrics a scrape asks for: `?collect[]=ports&collect[]=vips`.
//!
//! Without the parameter a scrape has everything. With it, it has the groups named and the few series of the
//! node itself, which every alert joins with. A group that does not exist is an error, never an empty answer.

/// A group of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The process, its versions, drops: always there.
    Node,
    /// Ports, queues, packet buffers.
    Ports,
    /// Workers and their connection tables.
    Workers,
    /// VIPs.
    Vips,
    /// Backends.
    Backends,
    /// Health checks.
    Health,
}

impl Group {
    /// The groups that can be asked for.
    pub const NAMED: [Self; 5] = [Self::Ports, Self::Workers, Self::Vips, Self::Backends, Self::Health];

    /// The value of the parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Ports => "ports",
            Self::Workers => "workers",
            Self::Vips => "vips",
            Self::Backends => "backends",
            Self::Health => "health",
        }
    }
}

/// A set of groups; [`Group::Node`] is in every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection(u8);

/// A name that is no group's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no group `{name}` of metrics; collect[] takes ports, workers, vips, backends and health")]
pub struct UnknownGroup {
    /// What was asked for.
    pub name: String,
}

impl Selection {
    /// Everything.
    pub const ALL: Self = Self(u8::MAX);

    /// The selection of a query's parameters; those that are not `collect[]` are left alone.
    ///
    /// # Errors
    /// [`UnknownGroup`] for a value that is no group's name.
    pub fn from_query<'a>(query: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, UnknownGroup> {
        let mut groups = 0;
        for (_, value) in query.filter(|(key, _)| *key == "collect[]") {
            let group = Group::NAMED.into_iter().find(|group| group.name() == value);
            groups |= 1 << group.ok_or_else(|| UnknownGroup { name: value.into() })? as u8;
        }
        Ok(if groups == 0 { Self::ALL } else { Self(groups) })
    }

    /// True if the group was asked for.
    pub const fn has(self, group: Group) -> bool {
        matches!(group, Group::Node) || self.0 & (1 << group as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(query: &[(&str, &str)]) -> Result<Vec<&'static str>, UnknownGroup> {
        let selection = Selection::from_query(query.iter().copied())?;
        Ok(Group::NAMED.into_iter().filter(|group| selection.has(*group)).map(Group::name).collect())
    }

    #[test]
    fn nothing_asked_is_everything() {
        assert_eq!(groups(&[]), Ok(vec!["ports", "workers", "vips", "backends", "health"]));
        assert_eq!(groups(&[("format", "text")]), groups(&[]));
    }

    #[test]
    fn what_is_asked_is_there_and_the_node_always() {
        assert_eq!(groups(&[("collect[]", "vips"), ("collect[]", "ports")]), Ok(vec!["ports", "vips"]));
        let none = Selection::from_query([("collect[]", "vips")].into_iter()).expect("a group");
        assert!(none.has(Group::Node));
    }

    #[test]
    fn an_unknown_group_is_named() {
        assert_eq!(groups(&[("collect[]", "bgp")]), Err(UnknownGroup { name: "bgp".into() }));
    }
}
