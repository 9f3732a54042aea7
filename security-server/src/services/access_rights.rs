//! Who may call a service. Rights only add up; there is no deny rule, and what no right covers is denied.

use kogge_proto::id::SubsystemId;
use kogge_proto::message::METHODS;

use super::path::{NormalPath, PathPattern};

/// One subsystem's right to call paths of a service.
#[derive(Clone, Debug)]
pub struct AccessRight {
    client: SubsystemId,
    /// `None`: any method.
    methods: Option<Vec<&'static str>>,
    path: PathPattern,
}

/// A right names a method that does not exist, or none at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MethodError {
    /// Not a method of the REST protocol.
    #[error("{0:?} is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE")]
    Unknown(String),
    /// An empty list would permit nothing.
    #[error("the list is empty, so the right permits nothing; leave it out for any method")]
    None,
}

impl AccessRight {
    /// The right of `client` to call `path` by one of `methods` (`None`: by any).
    ///
    /// # Errors
    /// A method is not one of the REST protocol, or the list is empty.
    pub fn new(
        client: SubsystemId,
        methods: Option<&[String]>,
        path: PathPattern,
    ) -> Result<Self, MethodError> {
        let methods = methods.map(read_methods).transpose()?;
        Ok(Self { client, methods, path })
    }

    fn covers(&self, client: &SubsystemId, method: &str, path: &NormalPath) -> bool {
        self.client == *client
            && self.methods.as_ref().is_none_or(|methods| methods.contains(&method))
            && self.path.matches(path)
    }
}

fn read_methods(names: &[String]) -> Result<Vec<&'static str>, MethodError> {
    if names.is_empty() {
        return Err(MethodError::None);
    }
    names
        .iter()
        .map(|name| {
            let known = METHODS.into_iter().find(|known| known.eq_ignore_ascii_case(name));
            known.ok_or_else(|| MethodError::Unknown(name.clone()))
        })
        .collect()
}

/// All rights to one service.
#[derive(Clone, Debug, Default)]
pub struct AccessRights(Vec<AccessRight>);

impl AccessRights {
    /// From a list; none permits nobody.
    #[must_use]
    pub fn new(rights: Vec<AccessRight>) -> Self {
        Self(rights)
    }

    /// Whether a right covers the call.
    #[must_use]
    pub fn permit(&self, client: &SubsystemId, method: &str, path: &NormalPath) -> bool {
        self.0.iter().any(|right| right.covers(client, method, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(client: &str, methods: Option<&[&str]>, path: &str) -> AccessRight {
        let methods = methods.map(|methods| methods.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        AccessRight::new(client.parse().unwrap(), methods.as_deref(), path.parse().unwrap()).unwrap()
    }

    #[test]
    fn what_no_right_covers_is_denied() {
        let rights = AccessRights::new(vec![
            right("D/G/1/a", Some(&["GET", "head"]), "/persons/*"),
            right("D/G/1/a", Some(&["POST"]), "/queries"),
            right("D/G/1/b", None, "/**"),
        ]);
        let permit = |client: &str, method: &str, path: &str| {
            rights.permit(&client.parse().unwrap(), method, &NormalPath::new(path).unwrap())
        };
        assert!(permit("D/G/1/a", "GET", "/persons/1"));
        assert!(permit("D/G/1/a", "HEAD", "/persons/1"));
        assert!(permit("D/G/1/a", "POST", "/queries"));
        assert!(permit("D/G/1/b", "DELETE", ""));
        assert!(!permit("D/G/1/a", "POST", "/persons/1"));
        assert!(!permit("D/G/1/a", "GET", "/queries"));
        assert!(!permit("D/G/1/a", "GET", "/persons/1/address"));
        assert!(!permit("D/G/1/c", "GET", "/persons/1"));
        assert!(!permit("D/G/2/a", "GET", "/persons/1"));
        assert!(!AccessRights::default().permit(
            &"D/G/1/a".parse().unwrap(),
            "GET",
            &NormalPath::new("").unwrap()
        ));
    }

    #[test]
    fn methods_are_checked() {
        let new = |methods: &[String]| {
            AccessRight::new("D/G/1/a".parse().unwrap(), Some(methods), "/**".parse().unwrap()).map(drop)
        };
        assert_eq!(new(&["FETCH".to_owned()]), Err(MethodError::Unknown("FETCH".to_owned())));
        assert_eq!(new(&[]), Err(MethodError::None));
    }
}
