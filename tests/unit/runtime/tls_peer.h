// A certificate made on the spot, and a client that believes nothing and tells what it saw.
#pragma once

#include "tests/unit/runtime/raw_socket.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

namespace tally::runtime::http {

inline void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

// Writes a self-signed certificate for `name` and its key as PEM.
inline void write_certificate(const std::string& name, const std::string& certificate_file,
                              const std::string& key_file) {
  const std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)> key(::EVP_EC_gen("P-256"),
                                                                  ::EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&::X509_free)> certificate(::X509_new(), ::X509_free);
  require(key && certificate, "out of memory");
  ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate.get()), 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), -3600);
  ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), 3600);
  ::X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = ::X509_get_subject_name(certificate.get());
  ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  ::X509_set_issuer_name(certificate.get(), subject);
  require(::X509_sign(certificate.get(), key.get(), ::EVP_sha256()) > 0, "sign");
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  const File pem(std::fopen(certificate_file.c_str(), "w"), std::fclose);
  require(pem && ::PEM_write_X509(pem.get(), certificate.get()) == 1, "write the certificate");
  const File secret(std::fopen(key_file.c_str(), "w"), std::fclose);
  require(secret && ::PEM_write_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                           nullptr) == 1,
          "write the key");
}

class TlsPeer {
 public:
  // `newest` bounds the version that it offers. Throws when the handshake fails.
  explicit TlsPeer(std::uint16_t port, int newest = TLS1_3_VERSION)
      : socket_(port), context_(::SSL_CTX_new(::TLS_client_method()), ::SSL_CTX_free) {
    ::SSL_CTX_set_max_proto_version(context_.get(), newest);
    ::SSL_CTX_set_security_level(context_.get(), 0);  // so that old versions are offered at all
    ssl_.reset(::SSL_new(context_.get()));
    ::SSL_set_fd(ssl_.get(), socket_.native());
    require(::SSL_connect(ssl_.get()) == 1, "handshake");
  }
  void send(const std::string& bytes) {
    ::SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  }
  // Until `mark` was seen (if not empty) or the server ended.
  std::string read_until(const std::string& mark = "") {
    std::string all;
    char buffer[4096];
    while (mark.empty() || all.find(mark) == std::string::npos) {
      const int count = ::SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (count <= 0) break;
      all.append(buffer, static_cast<std::size_t>(count));
    }
    return all;
  }
  // Whether the server ended TLS properly, as opposed to a cut connection.
  [[nodiscard]] bool saw_goodbye() const {
    return (::SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  // The common name of the server's certificate.
  [[nodiscard]] std::string server_name() const {
    const std::unique_ptr<X509, decltype(&::X509_free)> certificate(
        ::SSL_get1_peer_certificate(ssl_.get()), ::X509_free);
    char name[256] = {};
    ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate.get()), NID_commonName, name,
                                sizeof name);
    return name;
  }

 private:
  RawSocket socket_;
  std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&::SSL_free)> ssl_{nullptr, ::SSL_free};
};

}  // namespace tally::runtime::http
