#!/usr/bin/env python3
"""Independent checker for X-Road style ASiC-E containers.

Shares no code with the product: zipfile + lxml (C14N) + cryptography + asn1crypto, and the
openssl CLI for the certificate path and a second opinion on the time-stamp token.

  asic-check.py CONTAINER --gc GLOBALCONF_DIR [--json] [--freshness 3600] [--now-ok]
  asic-check.py CONTAINER --ca ca.pem [--tsa tsa.pem] [--json]

Every check prints PASS, FAIL, WARN or N/A. Exit 0 = no FAIL, 1 = at least one FAIL, 2 = cannot read.
WARN marks what a stricter profile would refuse although X-Road's own verifier lets it through.
"""
import argparse, base64, datetime as dt, glob, hashlib, json, os, re, subprocess, sys, tempfile, zipfile
from urllib.parse import unquote

from asn1crypto import cms, core, ocsp, tsp, x509 as ax509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree

DS = "http://www.w3.org/2000/09/xmldsig#"
XA = "http://uri.etsi.org/01903/v1.3.2#"
HC = "http://cyber.ee/hashchain"
NS = {"ds": DS, "xa": XA, "hc": HC}
DIG = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
HASH = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512, "sha1": hashes.SHA1}
SIG = {}
for _n in ("256", "384", "512"):
    SIG["http://www.w3.org/2001/04/xmldsig-more#rsa-sha" + _n] = ("rsa", "sha" + _n)
    SIG["http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha" + _n] = ("ecdsa", "sha" + _n)
    SIG["http://www.w3.org/2007/05/xmldsig-more#sha%s-rsa-MGF1" % _n] = ("pss", "sha" + _n)
C14N = {
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315": dict(exclusive=False, with_comments=False),
    "http://www.w3.org/2001/10/xml-exc-c14n#": dict(exclusive=True, with_comments=False),
}
OUT = []


def say(state, name, why=""):
    OUT.append((state, name, why))


def check(ok, name, why=""):
    say("PASS" if ok else "FAIL", name, "" if ok else why)
    return ok


def b64(t):
    return base64.b64decode("".join((t or "").split()), validate=True)


def parse_xml(data):
    if b"<!DOCTYPE" in data[:4096] or b"<!ENTITY" in data:
        raise ValueError("DTD in signed XML")
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False))


def c14n(el, alg):
    """Canonicalise in place: lxml's C14N of a subtree keeps inherited namespaces when inclusive."""
    if alg not in C14N:
        raise ValueError("canonicalisation not allowed: %s" % alg)
    kw = C14N[alg]
    pref = None
    return etree.tostring(el, method="c14n", exclusive=kw["exclusive"], with_comments=False, inclusive_ns_prefixes=pref)


def verify_value(pub, kind, h, sig, data):
    H = HASH[h]()
    if kind == "rsa":
        pub.verify(sig, data, padding.PKCS1v15(), H)
    elif kind == "pss":
        pub.verify(sig, data, padding.PSS(padding.MGF1(H), H.digest_size), H)
    else:
        n = (pub.curve.key_size + 7) // 8
        if len(sig) != 2 * n:
            raise InvalidSignature("raw r||s of wrong length")
        r, s = int.from_bytes(sig[:n], "big"), int.from_bytes(sig[n:], "big")
        pub.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(H))


# ---- hash chains -------------------------------------------------------------------------------
def der_seq(body):
    n = len(body)
    if n < 128:
        return b"\x30" + bytes([n]) + body
    l = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return b"\x30" + bytes([0x80 | len(l)]) + l + body


def chain_eval(result_xml, chain_xml, names, get):
    """Returns (ok, why, used): recomputes the chain from the real entry bytes."""
    res, ch = parse_xml(result_xml), parse_xml(chain_xml)
    alg = res.find("ds:DigestMethod", NS).get("Algorithm")
    want = b64(res.find("ds:DigestValue", NS).text)
    uri = res.get("URI")
    if "#" not in uri:
        return False, "result URI has no fragment", {}
    steps = {}
    for s in ch.findall("hc:HashStep", NS):
        if s.get("id") in steps:
            return False, "duplicate step id", {}
        steps[s.get("id")] = s
    dflt = ch.find("hc:DefaultDigestMethod", NS).get("Algorithm")
    used, bad = {}, []

    def step(sid, seen):
        if sid in seen or len(seen) > 64:
            raise ValueError("step loop")
        body = b""
        for it in steps[sid]:
            if not isinstance(it.tag, str):
                continue
            tag = etree.QName(it).localname
            dm = it.find("ds:DigestMethod", NS)
            a = dm.get("Algorithm") if dm is not None else dflt
            if tag == "HashValue":
                d = b64(it.find("ds:DigestValue", NS).text)
            elif tag == "DataRef":
                n = it.get("URI").lstrip("/")
                d = b64(it.find("ds:DigestValue", NS).text)
                if n in names:
                    same = hashlib.new(DIG[a], get(n)).digest() == d
                    used[n] = same
                else:
                    used[n] = None
            elif tag == "StepRef":
                a = dflt
                d = hashlib.new(DIG[a], step(it.get("URI").lstrip("#"), seen | {sid})).digest()
            else:
                raise ValueError("unknown chain item " + tag)
            ab = a.encode()
            body += der_seq(b"\x04" + _len(len(d)) + d + b"\x0c" + _len(len(ab)) + ab + b"\x30\x00")
        return der_seq(body)

    got = hashlib.new(DIG[alg], step(uri.split("#", 1)[1], frozenset())).digest()
    return got == want, "chain root differs from the published result", used


def _len(n):
    if n < 128:
        return bytes([n])
    l = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(l)]) + l


# ---- global configuration ----------------------------------------------------------------------
def load_gc(path):
    cas, inters, tsas, ocsps = [], [], [], []
    for f in glob.glob(os.path.join(path, "**", "shared-params.xml"), recursive=True):
        t = etree.parse(f)
        for c in t.iter():
            if not isinstance(c.tag, str) or etree.QName(c).localname != "cert":
                continue
            anc = [etree.QName(a).localname for a in c.iterancestors()]
            try:
                raw = b64(c.text)  # real configurations hold base64 of DER or base64 of PEM
                crt = x509.load_pem_x509_certificate(raw) if raw.startswith(b"-----") else x509.load_der_x509_certificate(raw)
            except Exception:
                continue
            if anc[0] == "ocsp":
                ocsps.append(crt)
            elif "approvedTSA" in anc:
                tsas.append(crt)
            elif anc[0] == "topCA":
                cas.append(crt)
            elif anc[0] == "intermediateCA":
                inters.append(crt)
    return cas, inters, tsas, ocsps


def pem(certs):
    f = tempfile.NamedTemporaryFile("wb", suffix=".pem", delete=False)
    for c in certs:
        f.write(c.public_bytes(serialization.Encoding.PEM))
    f.close()
    return f.name


def run(*a, **k):
    p = subprocess.run(a, capture_output=True, **k)
    return p.returncode, (p.stdout + p.stderr).decode("utf8", "replace").strip()


def x5(c):
    return x509.load_der_x509_certificate(c.dump())


def raw_verify(cert, sigalg, h, sig, data):
    """ASN.1 world: DER ECDSA, PKCS#1 v1.5 or PSS."""
    pub = cert.public_key()
    H = HASH[h]() if h else None
    if isinstance(pub, rsa.RSAPublicKey):
        if sigalg == "rsassa_pss":
            pub.verify(sig, data, padding.PSS(padding.MGF1(H), H.digest_size), H)
        else:
            pub.verify(sig, data, padding.PKCS1v15(), H)
    elif isinstance(pub, ec.EllipticCurvePublicKey):
        pub.verify(sig, data, ec.ECDSA(H))
    else:
        pub.verify(sig, data)


def issued_by(cert, issuer):
    if cert.issuer != issuer.subject:
        raise ValueError("another issuer")
    alg = ax509.Certificate.load(cert.public_bytes(serialization.Encoding.DER))["signature_algorithm"]
    h = None if alg.signature_algo in ("ed25519", "ed448") else alg.hash_algo
    raw_verify(issuer, alg.signature_algo, h, cert.signature, cert.tbs_certificate_bytes)


# ---- time-stamp --------------------------------------------------------------------------------
def check_tst(tok, covered, tsas):
    ci = cms.ContentInfo.load(tok, strict=True)
    if ci["content_type"].native == "data" or "status" in (ci.native or {}):
        raise ValueError("not a token")
    sd = ci["content"]
    eci = sd["encap_content_info"]
    check(eci["content_type"].native == "tst_info", "tst: content type", eci["content_type"].native)
    tst_bytes = eci["content"].contents
    tst = tsp.TSTInfo.load(tst_bytes)
    mi = tst["message_imprint"]
    h = mi["hash_algorithm"]["algorithm"].native
    check(h in ("sha256", "sha384", "sha512"), "tst: imprint hash", h)
    check(mi["hashed_message"].native == hashlib.new(h, covered).digest(), "tst: imprint matches what it should cover", "imprint differs")
    gen = tst["gen_time"].native
    si = sd["signer_infos"][0]
    check(len(sd["signer_infos"]) == 1, "tst: one signer", "")
    certs = [x5(c.chosen) for c in (sd["certificates"] or [])] + list(tsas)
    sid = si["sid"].chosen
    signer = None
    for c in certs:
        if isinstance(sid, cms.IssuerAndSerialNumber):
            if c.serial_number == sid["serial_number"].native and c.issuer.public_bytes() == sid["issuer"].dump():
                signer = c
        else:
            try:
                if c.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest == sid.native:
                    signer = c
            except x509.ExtensionNotFound:
                pass
    if not check(signer is not None, "tst: signer certificate found", "no certificate for the signer"):
        return gen
    attrs = {a["type"].native: a["values"] for a in si["signed_attrs"]}
    dh = si["digest_algorithm"]["algorithm"].native
    check(attrs["message_digest"][0].native == hashlib.new(dh, tst_bytes).digest(), "tst: message digest", "differs")
    sa = si["signed_attrs"].untag().dump()
    salg = si["signature_algorithm"]
    try:
        raw_verify(signer, salg.signature_algo, dh if salg.signature_algo != "rsassa_pss" else salg.hash_algo, si["signature"].native, sa)
        say("PASS", "tst: CMS signature")
    except InvalidSignature:
        say("FAIL", "tst: CMS signature", "bad")
    try:
        eku = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        ok = list(eku.value) == [x509.ExtendedKeyUsageOID.TIME_STAMPING] and eku.critical
        check(ok, "tst: EKU is timeStamping only and critical", "not so")
    except x509.ExtensionNotFound:
        say("FAIL", "tst: EKU is timeStamping only and critical", "no EKU")
    if tsas:
        check(any(t == signer for t in tsas), "tst: signer is an approved TSA", "not in the configuration")
        with tempfile.NamedTemporaryFile(suffix=".tst") as tf, tempfile.NamedTemporaryFile() as df:
            tf.write(tok), tf.flush(), df.write(covered), df.flush()
            p = pem(tsas)
            rc, o = run("openssl", "ts", "-verify", "-token_in", "-in", tf.name, "-data", df.name, "-CAfile", p, "-partial_chain",
                        "-attime", str(int(gen.timestamp())), "-untrusted", p)
            check(rc == 0 and "OK" in o, "tst: openssl ts -verify agrees", o.replace("\n", " ")[:200])
    return gen


# ---- OCSP --------------------------------------------------------------------------------------
def check_ocsp(der, signer, cas, inters, ocsps, at, fresh):
    r = ocsp.OCSPResponse.load(der, strict=True)
    if not check(r["response_status"].native == "successful", "ocsp: status successful", r["response_status"].native):
        return
    b = r["response_bytes"]["response"].parsed
    rd = b["tbs_response_data"]
    issuer = next((c for c in cas + inters if c.subject == signer.issuer), None)
    if not check(issuer is not None, "ocsp: issuer known", "issuer of the signing certificate is not configured"):
        return
    ik = ax509.Certificate.load(issuer.public_bytes(serialization.Encoding.DER))
    sk = ax509.Certificate.load(signer.public_bytes(serialization.Encoding.DER))
    hit = None
    for sr in rd["responses"]:
        cid = sr["cert_id"]
        h = cid["hash_algorithm"]["algorithm"].native
        if (cid["serial_number"].native == signer.serial_number
                and cid["issuer_name_hash"].native == hashlib.new(h, sk["tbs_certificate"]["issuer"].dump()).digest()
                and cid["issuer_key_hash"].native == hashlib.new(h, bytes(ik["tbs_certificate"]["subject_public_key_info"]["public_key"])).digest()):
            hit = sr
    if not check(hit is not None, "ocsp: a single response is for this certificate", "none"):
        return
    check(hit["cert_status"].name == "good", "ocsp: good", hit["cert_status"].name)
    cand = [x5(c) for c in (b["certs"] or [])] + ocsps + [issuer]
    alg = b["signature_algorithm"]
    who = None
    for c in cand:
        try:
            raw_verify(c, alg.signature_algo, alg.hash_algo, b["signature"].native, rd.dump())
            who = c
            break
        except Exception:
            continue
    if check(who is not None, "ocsp: signature", "no candidate responder key verifies it"):
        if who == issuer or any(who == o for o in ocsps):
            say("PASS", "ocsp: responder authorised")
        else:
            try:
                issued_by(who, issuer)
                eku = who.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
                check(x509.ExtendedKeyUsageOID.OCSP_SIGNING in eku, "ocsp: responder authorised", "no OCSPSigning")
            except Exception as e:
                say("FAIL", "ocsp: responder authorised", repr(e))
    if at:
        tu = hit["this_update"].native
        age = (at - tu).total_seconds()
        check(age <= fresh, "ocsp: thisUpdate fresh at time-stamp time", "%.0f s old" % age)
        if age < 0:
            say("WARN", "ocsp: thisUpdate after the time-stamp", "%.0f s" % -age)
        nu = hit["next_update"].native
        if nu:
            check(nu >= at, "ocsp: nextUpdate not passed", str(nu))


# ---- container ---------------------------------------------------------------------------------
def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("container")
    ap.add_argument("--gc"), ap.add_argument("--ca"), ap.add_argument("--tsa")
    ap.add_argument("--freshness", type=int, default=3600)
    ap.add_argument("--json", action="store_true")
    a = ap.parse_args()
    try:
        work(a)
    except SystemExit:
        raise
    except Exception as e:
        say("FAIL", "exception", "%s: %s" % (type(e).__name__, e))
    bad = [o for o in OUT if o[0] == "FAIL"]
    if a.json:
        print(json.dumps({"container": a.container, "ok": not bad, "checks": OUT}))
    else:
        for s, n, w in OUT:
            print("%-4s %s%s" % (s, n, ("  <- " + w) if w else ""))
        print("RESULT", "FAIL" if bad else "OK", os.path.basename(a.container))
    sys.exit(1 if bad else 0)


def work(a):
    cas, inters, tsas, ocsps = [], [], [], []
    if a.gc:
        cas, inters, tsas, ocsps = load_gc(a.gc)
    if a.ca:
        cas += x509.load_pem_x509_certificates(open(a.ca, "rb").read())
    if a.tsa:
        tsas += x509.load_pem_x509_certificates(open(a.tsa, "rb").read())
    z = zipfile.ZipFile(a.container)
    infos = z.infolist()
    names = [i.filename for i in infos if not i.filename.endswith("/")]
    check(len(names) == len(set(names)), "zip: entry names unique", str(sorted(n for n in names if names.count(n) > 1)))
    check(not any(n.startswith(("/", "\\")) or ".." in n.split("/") or "\\" in n for n in names), "zip: no path traversal", "")
    check(sum(i.file_size for i in infos) < 1 << 30, "zip: total size sane", "")
    raw = open(a.container, "rb").read()
    locals_ = len(re.findall(b"PK\x03\x04", raw))
    if locals_ != len(infos):
        say("WARN", "zip: local headers vs central directory", "%d vs %d" % (locals_, len(infos)))
    get = z.read
    if check("mimetype" in names, "zip: mimetype present", "missing"):
        check(get("mimetype").strip() == b"application/vnd.etsi.asic-e+zip", "zip: mimetype value", repr(get("mimetype")[:60]))
    if infos[0].filename != "mimetype" or infos[0].compress_type != 0:
        say("WARN", "zip: ASiC wants mimetype first and stored", "%s method %d" % (infos[0].filename, infos[0].compress_type))
    check("message.xml" in names, "zip: message.xml present", "missing")
    sigs = [n for n in names if n.lower().startswith("meta-inf/") and "signatures" in n.lower()]
    check(sigs == ["META-INF/signatures.xml"], "zip: exactly one signature file", str(sigs))
    sx = get("META-INF/signatures.xml")
    root = parse_xml(sx)
    ids = [e.get("Id") for e in root.iter() if isinstance(e.tag, str) and e.get("Id")]
    check(len(ids) == len(set(ids)), "xml: Id values unique", str([i for i in ids if ids.count(i) > 1]))
    S = [e for e in root.iter("{%s}Signature" % DS)]
    check(len(S) == 1, "xml: one ds:Signature", str(len(S)))
    S = S[0]
    check(S is root or (S.getparent() is root and etree.QName(root).localname == "XAdESSignatures"), "xml: signature in the expected place", "")
    si = S.find("ds:SignedInfo", NS)
    cm = si.find("ds:CanonicalizationMethod", NS).get("Algorithm")
    sm = si.find("ds:SignatureMethod", NS).get("Algorithm")
    refs = si.findall("ds:Reference", NS)
    covered, sp_id = set(), None
    for r in refs:
        uri, dm = r.get("URI"), r.find("ds:DigestMethod", NS).get("Algorithm")
        tr = [t.get("Algorithm") for t in r.findall("ds:Transforms/ds:Transform", NS)]
        if dm not in DIG:
            say("FAIL", "ref %s: digest algorithm" % uri, dm)
            continue
        if uri.startswith("#"):
            els = [e for e in root.iter() if isinstance(e.tag, str) and e.get("Id") == uri[1:]]
            if not check(len(els) == 1, "ref %s: one target" % uri, str(len(els))):
                continue
            if not check(all(t in C14N for t in tr) and len(tr) <= 1, "ref %s: transforms" % uri, str(tr)):
                continue
            data = c14n(els[0], tr[0] if tr else "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")
            if r.get("Type") == "http://uri.etsi.org/01903#SignedProperties":
                sp_id = els[0]
        else:
            n = unquote(uri.lstrip("/"))
            check(not tr, "ref %s: no transforms on files" % uri, str(tr))
            if not check(n in names, "ref %s: entry exists" % uri, "missing"):
                continue
            data = get(n)
            covered.add(n)
        check(hashlib.new(DIG[dm], data).digest() == b64(r.find("ds:DigestValue", NS).text), "ref %s: digest" % uri, "differs")
    certs = S.findall("ds:KeyInfo/ds:X509Data/ds:X509Certificate", NS)
    check(len(certs) == 1, "xml: one signing certificate in KeyInfo", str(len(certs)))
    signer = x509.load_der_x509_certificate(b64(certs[0].text))
    if check(sm in SIG, "sig: algorithm allowed", sm):
        try:
            verify_value(signer.public_key(), *SIG[sm], b64(S.find("ds:SignatureValue", NS).text), c14n(si, cm))
            say("PASS", "sig: value")
        except (InvalidSignature, ValueError) as e:
            say("FAIL", "sig: value", type(e).__name__)
    # XAdES
    if check(sp_id is not None and sp_id.tag == "{%s}SignedProperties" % XA and sp_id.getparent().getparent().getparent() is S,
             "xades: SignedProperties is signed and inside this signature", "no such reference"):
        q = sp_id.getparent()
        check(q.get("Target") in ("#" + (S.get("Id") or ""),), "xades: Target names this signature", q.get("Target"))
        cd = sp_id.find(".//xa:SigningCertificate/xa:Cert/xa:CertDigest", NS)
        if cd is None:
            cd = sp_id.find(".//xa:SigningCertificateV2/xa:Cert/xa:CertDigest", NS)
        if check(cd is not None, "xades: SigningCertificate present", "missing"):
            h = DIG.get(cd.find("ds:DigestMethod", NS).get("Algorithm"))
            check(h and hashlib.new(h, signer.public_bytes(serialization.Encoding.DER)).digest() == b64(cd.find("ds:DigestValue", NS).text),
                  "xades: SigningCertificate is the KeyInfo certificate", "differs")
    try:
        ku = signer.extensions.get_extension_for_class(x509.KeyUsage).value
        check(ku.content_commitment, "cert: keyUsage nonRepudiation", "not set")
    except x509.ExtensionNotFound:
        say("FAIL", "cert: keyUsage nonRepudiation", "no keyUsage")
    # signature hash chain
    check(("sig-hashchain.xml" in names) == ("sig-hashchainresult.xml" in names), "sig chain: both files or none", "")
    if "sig-hashchainresult.xml" in covered:
        ok, why, used = chain_eval(get("sig-hashchainresult.xml"), get("sig-hashchain.xml"), names, get)
        check(ok, "sig chain: root", why)
        check(used.get("message.xml") is True, "sig chain: message.xml", "not referenced or differs")
        for n, s in used.items():
            if n.startswith("attachment") and s is False:
                say("FAIL", "sig chain: " + n, "differs (X-Road's verifier only prints unverified)")
            if s is None:
                say("N/A", "sig chain: %s is not in the container" % n)
            if s:
                covered.add(n)
        covered.add("sig-hashchain.xml")
    elif "sig-hashchainresult.xml" in names:
        say("WARN", "sig chain: present but not signed", "X-Road's verifier accepts this")
    # coverage
    check("message.xml" in covered, "cover: message.xml is signed", "not covered by any reference")
    loose = [n for n in names if n not in covered and not n.lower().startswith("meta-inf/") and n not in ("mimetype", "ts-hashchain.xml", "ts-hashchainresult.xml", "sig-hashchain.xml", "sig-hashchainresult.xml")]
    if loose:
        say("FAIL", "cover: entries nothing signs", str(loose))
    # time-stamp
    at, tok, data = None, None, None
    emb = S.findall(".//xa:SignatureTimeStamp", NS)
    if "META-INF/timestamp.tst" in names:
        tok, data = get("META-INF/timestamp.tst"), get("ts-hashchainresult.xml") if "ts-hashchainresult.xml" in names else None
        if check(data is not None, "tst: ts-hashchainresult.xml present", "missing"):
            ok, why, used = chain_eval(data, get("ts-hashchain.xml"), names, get)
            check(ok, "ts chain: root", why)
            check(used.get("META-INF/signatures.xml") is True, "ts chain: signatures.xml", "not referenced or differs")
    elif emb:
        check(len(emb) == 1, "tst: one SignatureTimeStamp", str(len(emb)))
        e = emb[0].find("xa:EncapsulatedTimeStamp", NS)
        tok = b64((e if e is not None else emb[0]).text)
        data = b64(S.find("ds:SignatureValue", NS).text)
    if check(tok is not None, "tst: present", "no time-stamp") and data is not None:
        at = check_tst(tok, data, tsas)
        say("N/A", "tst: genTime %s" % at)
    # OCSP and path
    oc = S.findall(".//xa:EncapsulatedOCSPValue", NS)
    if check(bool(oc), "ocsp: present", "no embedded response"):
        check_ocsp(b64(oc[0].text), signer, cas, inters, ocsps, at, a.freshness)
    if cas:
        t = int((at or dt.datetime.now(dt.timezone.utc)).timestamp())
        emb_i = [x509.load_der_x509_certificate(b64(e.text)) for e in S.findall(".//xa:EncapsulatedX509Certificate", NS)]
        cmd = ["openssl", "verify", "-partial_chain", "-attime", str(t), "-CAfile", pem(cas)]
        if inters + emb_i:
            cmd += ["-untrusted", pem(inters + emb_i)]
        rc, o = run(*cmd, pem([signer]))
        check(rc == 0, "path: openssl verify at time-stamp time", o.replace("\n", " ")[:200])
        rc, o = run(*cmd, "-x509_strict", pem([signer]))
        if rc:
            say("WARN", "path: openssl verify -x509_strict", o.replace("\n", " ")[:200])
    else:
        say("N/A", "path: no trust anchor given")


main()
