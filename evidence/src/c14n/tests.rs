use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roxmltree::Document;

use super::*;

fn canonical(xml: &str) -> String {
    let document = Document::parse(xml).unwrap();
    String::from_utf8(exclusive(document.root_element()).unwrap()).unwrap()
}

/// Found by the fuzzer: the parser lets it pass, and what would be written were no XML with namespaces.
#[test]
fn a_prefix_without_a_namespace_has_no_canonical_form() {
    for xml in ["<x:a xmlns:x=''/>", "<a xmlns:x=''><x:b/></a>", "<a xmlns:x=''><b x:c=''/></a>"] {
        let document = Document::parse(xml).unwrap();
        let expected = Err(C14nError::EmptyNamespace("x".to_owned()));
        assert_eq!(exclusive(document.root_element()), expected, "{xml}");
        assert_eq!(inclusive(document.root_element()), expected, "{xml}");
    }
}

#[test]
fn the_rules_one_by_one() {
    for (xml, expected) in [
        // Empty elements, attribute order, quotes, declarations before attributes.
        ("<a/>", "<a></a>"),
        ("<a z='1' b=\"2\" xmlns='u' />", "<a xmlns=\"u\" b=\"2\" z=\"1\"></a>"),
        (
            "<a xmlns:y='1' xmlns:x='2' y:c='' x:b='' d=''/>",
            "<a xmlns:x=\"2\" xmlns:y=\"1\" d=\"\" y:c=\"\" x:b=\"\"></a>",
        ),
        // Only visibly used prefixes, declared where they are first used.
        (
            "<a xmlns:x='u'><x:b><x:c/></x:b><x:d/></a>",
            "<a><x:b xmlns:x=\"u\"><x:c></x:c></x:b><x:d xmlns:x=\"u\"></x:d></a>",
        ),
        ("<x:a xmlns:x='u'><x:b xmlns:x='v'/></x:a>", "<x:a xmlns:x=\"u\"><x:b xmlns:x=\"v\"></x:b></x:a>"),
        // The default namespace is taken back only where it was written.
        ("<a xmlns='u'><b xmlns=''/></a>", "<a xmlns=\"u\"><b xmlns=\"\"></b></a>"),
        ("<a><b xmlns=''/></a>", "<a><b></b></a>"),
        (
            "<a xmlns='u'><x:b xmlns:x='v'><c xmlns=''/></x:b></a>",
            "<a xmlns=\"u\"><x:b xmlns:x=\"v\"><c xmlns=\"\"></c></x:b></a>",
        ),
        // Escapes; character references and CDATA are resolved.
        (
            "<a b='&lt;&amp;&quot;&gt;&#9;&#10;&#13;'>&lt;&amp;&gt;\"&#13;</a>",
            "<a b=\"&lt;&amp;&quot;>&#x9;&#xA;&#xD;\">&lt;&amp;&gt;\"&#xD;</a>",
        ),
        ("<a><![CDATA[<b>&]]></a>", "<a>&lt;b&gt;&amp;</a>"),
        ("<a b='1\n2\t3'>1\r\n2</a>", "<a b=\"1 2 3\">1\n2</a>"),
        ("<a xmlns='urn:&amp;'/>", "<a xmlns=\"urn:&amp;\"></a>"),
        // Comments go, processing instructions stay.
        ("<a>1<!-- x -->2<?p  q ?><?r?></a>", "<a>12<?p q ?><?r?></a>"),
        // The xml prefix needs no declaration.
        ("<a xml:lang='et' b=''/>", "<a b=\"\" xml:lang=\"et\"></a>"),
    ] {
        assert_eq!(canonical(xml), expected, "{xml}");
    }
}

#[test]
fn a_subtree_declares_what_its_ancestors_declared() {
    let document =
        Document::parse("<x:a xmlns:x='u' xmlns:y='v' xmlns='w'><x:b><c y:d=''/></x:b></x:a>").unwrap();
    let b = document.root_element().first_element_child().unwrap();
    let expected = "<x:b xmlns:x=\"u\"><c xmlns=\"w\" xmlns:y=\"v\" y:d=\"\"></c></x:b>";
    assert_eq!(String::from_utf8(exclusive(b).unwrap()).unwrap(), expected);
}

#[test]
fn what_is_no_element_or_too_deep_is_refused() {
    let document = Document::parse("<a>text</a>").unwrap();
    assert_eq!(exclusive(document.root()), Err(C14nError::NotAnElement));
    assert_eq!(exclusive(document.root_element().first_child().unwrap()), Err(C14nError::NotAnElement));
    for (depth, expected) in [(DEPTH_MAX, true), (DEPTH_MAX + 1, false)] {
        let xml = "<a>".repeat(depth) + &"</a>".repeat(depth);
        let document = Document::parse(&xml).unwrap();
        let found = exclusive(document.root_element()).map(drop);
        assert_eq!(found, if expected { Ok(()) } else { Err(C14nError::TooDeep) });
    }
}

#[test]
fn the_inclusive_form_carries_its_context() {
    let document = Document::parse(
        "<x:a xmlns:x='u' xmlns:y='v' xmlns='w' xml:lang='et' xml:space='preserve'><b xml:lang='fi' c=''><d xmlns:y='v' xmlns=''><e xmlns='w'/></d></b></x:a>",
    )
    .unwrap();
    let canonical = |node| String::from_utf8(inclusive(node).unwrap()).unwrap();
    let b = document.root_element().first_element_child().unwrap();
    assert_eq!(
        canonical(b),
        "<b xmlns=\"w\" xmlns:x=\"u\" xmlns:y=\"v\" c=\"\" xml:lang=\"fi\" xml:space=\"preserve\"><d xmlns=\"\"><e xmlns=\"w\"></e></d></b>"
    );
    let d = b.first_element_child().unwrap();
    assert_eq!(
        canonical(d),
        "<d xmlns:x=\"u\" xmlns:y=\"v\" xml:lang=\"fi\" xml:space=\"preserve\"><e xmlns=\"w\"></e></d>"
    );
    assert_eq!(inclusive(document.root()), Err(C14nError::NotAnElement));
}

/// `xmllint --c14n` canonicalises whole documents, inclusively and with comments: random documents that have none.
#[test]
fn xmllint_agrees_on_inclusive_documents() {
    let mut runner = TestRunner::new(Config::default());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("document.xml");
    let mut compared = 0;
    while compared < 150 {
        let tree = element(4).new_tree(&mut runner).unwrap();
        let xml = proptest::strategy::ValueTree::current(&tree).replace("<!--c-->", "");
        let Ok(document) = Document::parse(&xml) else { continue };
        std::fs::write(&path, &xml).unwrap();
        let said = match Command::new("xmllint").arg("--c14n").arg(&path).output() {
            Ok(said) => said,
            Err(error) => {
                assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "xmllint is missing: {error}");
                eprintln!("SKIPPED: xmllint is missing (install libxml2-utils)");
                return;
            }
        };
        let ours = String::from_utf8(inclusive(document.root_element()).unwrap()).unwrap();
        assert_eq!(ours, String::from_utf8(said.stdout).unwrap().trim_end_matches('\n'), "{xml}");
        compared += 1;
    }
}

/// Compares a thousand random documents, and a random element of each, with libxml2, in both forms.
#[test]
fn libxml2_agrees() {
    let mut runner = TestRunner::new(Config::default());
    let mut cases = Vec::new();
    for _ in 0..1000 {
        let tree = element(4).new_tree(&mut runner).unwrap();
        let xml = proptest::strategy::ValueTree::current(&tree);
        let Ok(document) = Document::parse(&xml) else { continue };
        let elements: Vec<_> = document.descendants().filter(Node::is_element).collect();
        for place in [0, elements.len() / 2] {
            for (exclusively, ours) in
                [(true, exclusive(elements[place])), (false, inclusive(elements[place]))]
            {
                let ours = String::from_utf8(ours.unwrap()).unwrap();
                cases.push(serde_json::json!({
                    "xml": xml, "element": place, "exclusive": exclusively, "ours": ours
                }));
            }
        }
    }
    assert!(cases.len() > 2000, "most random documents are well-formed: {}", cases.len());
    let Some(said) = lxml(&serde_json::to_string(&cases).unwrap()) else { return };
    assert_eq!(said, format!("{} agree\n", cases.len()));
}

fn lxml(cases: &str) -> Option<String> {
    const SCRIPT: &str = "
import json, sys
from lxml import etree
cases = json.load(sys.stdin)
for case in cases:
    root = etree.fromstring(case['xml'].encode())
    element = [e for e in root.iter() if isinstance(e.tag, str)][case['element']]
    if not case['exclusive']:
        # Written out, it carries what is in scope. lxml's canonical form of a part of a tree gets inherited default namespaces wrong.
        element = etree.fromstring(etree.tostring(element, with_tail=False))
    theirs = etree.tostring(element, method='c14n', exclusive=case['exclusive'], with_comments=False, with_tail=False).decode()
    if theirs != case['ours']:
        sys.exit('differs for %r:\\n ours   %s\\n theirs %s' % (case['xml'], case['ours'], theirs))
print(len(cases), 'agree')
";
    // The system's interpreter first: that is where the distribution's package of lxml lies.
    let has_lxml = |python: &&str| {
        Command::new(python)
            .args(["-c", "import lxml"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let Some(python) = ["/usr/bin/python3", "python3"].into_iter().find(has_lxml) else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "lxml is missing: install python3-lxml");
        eprintln!("SKIPPED: lxml is missing (install python3-lxml)");
        return None;
    };
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(cases.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Source text of a random element; three prefixes, redeclared and taken back at random.
fn element(depth: u32) -> BoxedStrategy<String> {
    let prefix = || prop::sample::select(vec!["", "x:", "y:"]);
    let local = || prop::sample::select(vec!["a", "b", "c"]);
    let text = prop::sample::select(vec![
        "",
        "1",
        " \n",
        "&lt;&amp;&gt;",
        "&#13;",
        "<![CDATA[<&]]>",
        "<!--c-->",
        "<?p q?>",
        "ü\t",
    ]);
    let attributes = prop::collection::btree_map(
        (prefix(), local()),
        prop::sample::select(vec!["", "v", "&quot;'", "&#9;&#10;&#13;", "a\nb", "&lt;>"]),
        0..3,
    );
    // libxml2 refuses relative namespace names, and writes a `&` in one unescaped, which is not even XML.
    let uri = || prop::sample::select(vec!["urn:u", "urn:v", "urn:w"]);
    let declarations =
        prop::collection::btree_map(prop::sample::select(vec!["xmlns", "xmlns:x", "xmlns:y"]), uri(), 0..3);
    let undeclare = prop::bool::weighted(0.1);
    let children = if depth == 0 {
        Just(Vec::new()).boxed()
    } else {
        prop::collection::vec(element(depth - 1), 0..3).boxed()
    };
    (prefix(), local(), attributes, declarations, undeclare, prop::collection::vec(text, 0..3), children)
        .prop_map(move |(prefix, local, attributes, mut declarations, undeclare, texts, children)| {
            if undeclare {
                declarations.insert("xmlns", "");
            }
            // Every prefix is declared at the top, so that most documents are well-formed.
            if depth == 4 {
                declarations.entry("xmlns:x").or_insert("urn:u");
                declarations.entry("xmlns:y").or_insert("urn:v");
            }
            let declarations: String =
                declarations.iter().map(|(name, uri)| format!(" {name}=\"{uri}\"")).collect();
            let attributes: String = attributes
                .iter()
                .map(|((prefix, local), value)| format!(" {prefix}{local}=\"{value}\""))
                .collect();
            let content: String = texts.iter().map(|text| (*text).to_owned()).chain(children).collect();
            format!("<{prefix}{local}{attributes}{declarations}>{content}</{prefix}{local}>")
        })
        .boxed()
}

#[test]
fn c14n_1_1_hands_on_neither_ids_nor_bases() {
    let of = |xml: &str, method: Method| {
        let document = roxmltree::Document::parse(xml).unwrap();
        let element = document.descendants().find(|node| node.has_tag_name("b")).unwrap();
        method.canonical(element).map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let xml = "<a xml:id='x' xml:lang='de'><b/></a>";
    assert_eq!(of(xml, Method::Inclusive).unwrap(), "<b xml:id=\"x\" xml:lang=\"de\"></b>");
    assert_eq!(of(xml, Method::Inclusive11).unwrap(), "<b xml:lang=\"de\"></b>");
    assert_eq!(of(xml, Method::Exclusive).unwrap(), "<b></b>");
    let based = "<a xml:base='http://x/'><b/></a>";
    assert_eq!(of(based, Method::Inclusive11), Err(C14nError::Base));
    assert_eq!(of(based, Method::Inclusive).unwrap(), "<b xml:base=\"http://x/\"></b>");
    assert_eq!(Method::from_uri("http://www.w3.org/2000/09/xmldsig#enveloped-signature"), None);
}
