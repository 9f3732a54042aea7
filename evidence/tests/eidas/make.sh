#!/bin/sh
# A signature of an eIDAS kind, by tools that others wrote: openssl for certificates, OCSP and timestamp, xmlsec1 for the signature.
# Usage: make.sh KEY METHOD C14N DEPTH, in an empty directory. KEY is rsa, P-256 or P-384; METHOD and C14N are URIs; DEPTH is 1, or 2 for an
# intermediate CA. Leaves signatures.xml, content.tst (ASiC-S), and the certificates ca.pem, issuing.pem, tsa.pem.
set -eu
key=$1 method=$2 c14n=$3 depth=$4

new_key() { # name kind
    case $2 in
    rsa) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1.key" ;;
    *) openssl genpkey -quiet -algorithm EC -pkeyopt "ec_paramgen_curve:$2" -out "$1.key" ;;
    esac
}
issue() { # name issuer extensions
    openssl req -new -key "$1.key" -subj "/CN=eIDAS $1" -out "$1.csr"
    printf '%b' "$3" >"$1.ext"
    serial=$(openssl rand -hex 8)
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -set_serial "0x4$serial" -days 30 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
}
answer() { # name issuer: an OCSP response good about it, by its issuer
    serial=$(openssl x509 -in "$1.pem" -noout -serial | cut -d= -f2)
    printf 'V\t350101000000Z\t\t%s\tunknown\t/CN=x\n' "$serial" >index.txt
    openssl ocsp -index index.txt -rsigner "$2.pem" -rkey "$2.key" -CA "$2.pem" -issuer "$2.pem" -cert "$1.pem" -ndays 1 -no_nonce -respout "$1.ocsp" -resp_no_certs >/dev/null 2>&1
}
stamp() { # file: a token over it
    openssl ts -query -data "$1" -sha256 -cert -no_nonce -out query.tsq 2>/dev/null
    openssl ts -reply -config tsa.cnf -section tsa -queryfile query.tsq -token_out -out "$1.tst" 2>/dev/null
}

ca='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
new_key ca P-256
openssl req -x509 -new -key ca.key -subj "/CN=eIDAS ca" -days 60 -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature -out ca.pem
issuer=ca
if [ "$depth" = 2 ]; then
    new_key issuing P-256
    issue issuing ca "${ca}"
    answer issuing ca
    issuer=issuing
fi
new_key signer "$key"
issue signer $issuer 'keyUsage=critical,nonRepudiation\n'
answer signer $issuer
new_key tsa P-256
issue tsa ca 'keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n'
cat >tsa.cnf <<END
[tsa]
serial = tsa.serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = tsa.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
END
echo 01 >tsa.serial

mkdir -p folder
printf 'first file\n' >"a file.txt"
printf 'second file\n' >folder/b.bin
printf 'first file\n' >content
stamp content

base64_of() { openssl base64 -A; }
pem_body() { openssl x509 -in "$1" -outform DER | base64_of; }
digest=$(openssl x509 -in signer.pem -outform DER | openssl dgst -sha256 -binary | base64_of)
cat >template.xml <<END
<?xml version="1.0" encoding="UTF-8"?>
<asic:XAdESSignatures xmlns:asic="http://uri.etsi.org/02918/v1.2.1#"><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="id-1">
  <ds:SignedInfo Id="si">
    <ds:CanonicalizationMethod Algorithm="$c14n"/>
    <ds:SignatureMethod Algorithm="$method"/>
    <ds:Reference Id="r-1" URI="a%20file.txt"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"/><ds:DigestValue></ds:DigestValue></ds:Reference>
    <ds:Reference Id="r-2" URI="folder/b.bin"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"/><ds:DigestValue></ds:DigestValue></ds:Reference>
    <ds:Reference Type="http://uri.etsi.org/01903#SignedProperties" URI="#xades-id-1"><ds:Transforms><ds:Transform Algorithm="$c14n"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue></ds:DigestValue></ds:Reference>
  </ds:SignedInfo>
  <ds:SignatureValue Id="value-1"></ds:SignatureValue>
  <ds:KeyInfo><ds:X509Data><ds:X509Certificate>$(pem_body signer.pem)</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
  <ds:Object><xades:QualifyingProperties xmlns:xades="http://uri.etsi.org/01903/v1.3.2#" Target="#id-1"><xades:SignedProperties Id="xades-id-1"><xades:SignedSignatureProperties><xades:SigningTime>$(date -u +%Y-%m-%dT%H:%M:%SZ)</xades:SigningTime><xades:SigningCertificateV2><xades:Cert><xades:CertDigest><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>$digest</ds:DigestValue></xades:CertDigest></xades:Cert></xades:SigningCertificateV2><xades:SignerRoleV2><xades:ClaimedRoles><xades:ClaimedRole>Notary</xades:ClaimedRole></xades:ClaimedRoles></xades:SignerRoleV2></xades:SignedSignatureProperties><xades:SignedDataObjectProperties><xades:DataObjectFormat ObjectReference="#r-1"><xades:MimeType>text/plain</xades:MimeType></xades:DataObjectFormat><xades:DataObjectFormat ObjectReference="#r-2"><xades:MimeType>application/octet-stream</xades:MimeType></xades:DataObjectFormat></xades:SignedDataObjectProperties></xades:SignedProperties></xades:QualifyingProperties></ds:Object>
</ds:Signature></asic:XAdESSignatures>
END
case $method in
*-rsa-MGF1)
    # xmlsec1 has PSS since 1.3 only: it fills the digests in, xmllint canonicalises (inclusively), openssl signs.
    sed "s|$method|http://www.w3.org/2001/04/xmldsig-more#rsa-sha256|" template.xml >other.xml
    xmlsec1 --sign --id-attr:Id SignedProperties --privkey-pem signer.key,signer.pem --output filled.xml other.xml
    sed "s|http://www.w3.org/2001/04/xmldsig-more#rsa-sha256|$method|" filled.xml >signed.xml
    perl -0ne 'print $1 if m{(<ds:SignedInfo.*</ds:SignedInfo>)}s' signed.xml |
        sed 's|<ds:SignedInfo |<ds:SignedInfo xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" |' >info.xml
    xmllint --c14n info.xml >info.c14n
    value=$(openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign signer.key info.c14n | base64_of)
    VALUE=$value perl -0pi -e 's{(<ds:SignatureValue[^>]*>).*?</ds:SignatureValue>}{$1$ENV{VALUE}</ds:SignatureValue>}s' signed.xml
    ;;
*) xmlsec1 --sign --id-attr:Id SignedProperties --privkey-pem signer.key,signer.pem --output signed.xml template.xml ;;
esac

# What the timestamp is about: the signature value in inclusive canonical form, put together by hand.
value=$(perl -0ne 'print $1 if m{<ds:SignatureValue Id="value-1">(.*?)</ds:SignatureValue>}s' signed.xml)
printf '<ds:SignatureValue xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="value-1">%s</ds:SignatureValue>' "$value" >stamped
stamp stamped
certificates=
[ "$depth" = 1 ] || certificates="<xades:EncapsulatedX509Certificate>$(pem_body issuing.pem)</xades:EncapsulatedX509Certificate>"
certificates="$certificates<xades:EncapsulatedX509Certificate>$(pem_body tsa.pem)</xades:EncapsulatedX509Certificate>"
responses=
for name in signer issuing; do
    [ ! -e "$name.ocsp" ] || responses="$responses<xades:EncapsulatedOCSPValue>$(base64_of <"$name.ocsp")</xades:EncapsulatedOCSPValue>"
done
unsigned="<xades:UnsignedProperties><xades:UnsignedSignatureProperties><xades:SignatureTimeStamp><ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\"/><xades:EncapsulatedTimeStamp>$(base64_of <stamped.tst)</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp><xades:CertificateValues>$certificates</xades:CertificateValues><xades:RevocationValues><xades:OCSPValues>$responses</xades:OCSPValues></xades:RevocationValues></xades:UnsignedSignatureProperties></xades:UnsignedProperties>"
UNSIGNED=$unsigned perl -0pe 's{</xades:QualifyingProperties>}{$ENV{UNSIGNED}</xades:QualifyingProperties>}' signed.xml >signatures.xml
