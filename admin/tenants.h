// `tally-admin tenant-list` and `tenant-add`.
#pragma once

#include "core/catalogue.h"
#include "core/result.h"
#include "runtime/postgres/connection.h"

#include <iosfwd>
#include <string>

namespace tally::admin {

// A table of the stored tenants, ordered by id.
void list_tenants(runtime::postgres::Connection& connection, std::ostream& out);

// Stores one new tenant and raises the catalogue's version. An error when the id is taken or its
// plan is not stored. To change a tenant, edit the catalogue and apply it.
[[nodiscard]] core::Result<void> add_tenant(runtime::postgres::Connection& connection,
                                            const core::Tenant& tenant, std::ostream& out);

}  // namespace tally::admin
