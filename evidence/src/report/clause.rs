//! Every check by name, with the clause that it goes by: the one table behind the reports, their JSON schema and `docs/evidence.md`.

/// The clause of a check, as `docs/evidence.md` has it; `None` for a name that no check has.
#[must_use]
pub fn clause(name: &str) -> Option<&'static str> {
    CLAUSES.iter().find(|(found, _)| *found == name).map(|(_, clause)| *clause)
}

/// All checks with their clauses, in the order of reports. "Kogge evidence" is `docs/evidence.md`, "Kogge bundle" `docs/bundle.md`: rules of this project alone.
pub const CLAUSES: [(&str, &str); 47] = [
    ("container.zip", "PKWARE APPNOTE 4.3.16"),
    ("container.entries", "EN 319 162-1 clauses 4.3 and 4.4"),
    ("container.mimetype", "EN 319 162-1 annex A.1"),
    ("container.manifest", "OpenDocument 1.2 part 3 section 3, EN 319 162-1 annex A.4"),
    ("message.parse", "X-Road message protocols for REST and SOAP"),
    ("signature.xml", "XMLDSig 1.1, EN 319 132-1"),
    ("signature.references", "XMLDSig 1.1 section 4.4.3"),
    ("signature.hash_chain", "X-Road hash chain (`http://cyber.ee/hashchain`)"),
    ("signature.digest.message", "XMLDSig 1.1 section 3.2.1"),
    ("signature.digest.attachment", "XMLDSig 1.1 section 3.2.1"),
    ("signature.digest.files", "XMLDSig 1.1 section 3.2.1"),
    ("signature.signed_properties", "EN 319 132-1 clause 4.3, Exclusive XML Canonicalization 1.0"),
    ("signature.certificate", "EN 319 132-1 clause 5.2.2"),
    ("signature.value", "XMLDSig 1.1 section 3.2.2, RFC 9231"),
    ("signer.usage", "RFC 5280 section 4.2.1.3"),
    ("signer.path", "RFC 5280 section 6.1"),
    ("signer.member", "X-Road certificate profile"),
    ("ocsp.response", "RFC 6960 sections 3.2 and 4.2"),
    ("timestamp.present", "EN 319 162-1 clause 4.4.3.2, EN 319 132-1 clause 5.3"),
    ("timestamp.tree", "RFC 4998 section 4.3"),
    ("timestamp.token", "RFC 3161 section 2.4.2, RFC 5652, RFC 5816"),
    ("timestamp.time", "RFC 3161 section 2.4.2"),
    ("timestamp.renewal", "RFC 4998 sections 5.2 and 5.3"),
    ("registry.instance", "Kogge evidence section 3"),
    ("registry.time", "Kogge evidence section 3"),
    ("record.fields", "Kogge evidence section 5"),
    ("record.time", "Kogge evidence section 5"),
    ("record.entry", "Kogge bundle section 3"),
    ("container.coverage", "EN 319 162-1 clause 4.4.3.2"),
    ("container.layout", "Kogge evidence section 2"),
    ("log.structure", "Kogge evidence section 5"),
    ("log.frame", "Kogge evidence section 5"),
    ("log.checksum", "Kogge evidence section 5"),
    ("log.sequence", "Kogge evidence section 5"),
    ("log.chain", "Kogge evidence section 5"),
    ("log.tail", "Kogge evidence section 5"),
    ("log.material", "Kogge evidence section 5"),
    ("log.body", "Kogge evidence section 5"),
    ("log.erasure", "Kogge evidence section 5"),
    ("log.stamp", "Kogge evidence section 5"),
    ("log.renewal", "RFC 4998 sections 5.2 and 5.3"),
    ("log.checkpoint", "C2SP tlog-checkpoint"),
    ("bundle.snapshot", "Kogge bundle section 3"),
    ("bundle.structure", "Kogge bundle section 2"),
    ("bundle.complete", "Kogge bundle section 3"),
    ("bundle.checkpoint", "C2SP tlog-checkpoint"),
    ("bundle.inclusion", "RFC 6962 section 2.1"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The document's tables have every check, once, with the clause that reports name.
    #[test]
    fn the_documentation_has_the_same_clauses() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/evidence.md");
        let document = std::fs::read_to_string(path).unwrap();
        let section = document.split("\n## ").find(|section| section.starts_with("5. ")).unwrap();
        let rows: Vec<(&str, &str)> = section
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("| `")?.split_once("` |")?;
                Some((name, rest.trim_end_matches([' ', '|']).rsplit_once("| ")?.1))
            })
            .collect();
        for (name, clause) in CLAUSES {
            assert!(rows.contains(&(name, clause)), "{name}: {clause}");
        }
        let names: BTreeSet<&str> = rows.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), rows.len(), "a check stands twice");
        for name in names {
            assert!(clause(name).is_some(), "{name} is documented, and no check has it");
        }
    }

    #[test]
    fn no_check_stands_twice() {
        let names: BTreeSet<&str> = CLAUSES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), CLAUSES.len());
        assert_eq!(clause("signature"), None);
    }
}
