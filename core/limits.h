// Every limit of tally, in one file; the relations between them are proved below, at compile time.
// What happens at each limit stands in docs/operating/limits.md.
#pragma once

#include "core/decimal.h"

#include <cstddef>
#include <cstdint>

namespace tally::core {

// The event (bytes unless said otherwise).
inline constexpr std::size_t kMaxRequestIdBytes = 256;
inline constexpr std::size_t kMaxSourceBytes = 256;
inline constexpr std::size_t kMaxEventTypeBytes = 128;
inline constexpr std::size_t kMaxTenantIdBytes = 128;
inline constexpr std::size_t kMaxDataBytes = 64 * 1024;
inline constexpr std::size_t kMaxRecordBytes = 1024 * 1024;  // the topic's max.message.bytes
inline constexpr int kMaxJsonDepth =
    64;  // objects and arrays within each other, in what producers and the catalogue send

// Of the client library's common form, where members are compared with each other.
inline constexpr std::size_t kMaxFields = 64;
// What a client's queue may be set to (bytes): it holds at least two of the largest events.
inline constexpr std::size_t kMinQueueBytes = 256 * 1024;
inline constexpr std::size_t kMaxQueueBytes = 1024 * 1024 * 1024;
inline constexpr std::size_t kMaxOutstandingEvents = 100'000'000;

// One value: at most 10^18 with 12 decimals.
inline constexpr Int128 kMaxValueUnits =
    static_cast<Int128>(1'000'000'000'000'000'000) * static_cast<Int128>(1'000'000'000'000);

// The catalogue.
inline constexpr std::size_t kMaxCatalogueBytes = 64 * 1024 * 1024;
inline constexpr std::size_t kMaxMeters = 256;
inline constexpr std::size_t kMaxSlugBytes = 64;
inline constexpr std::size_t kMaxDimensionsPerMeter = 8;
inline constexpr std::size_t kMaxDimensionValueBytes = 128;
inline constexpr std::size_t kMaxFiltersPerMeter = 16;
inline constexpr std::size_t kMaxFilterValues = 64;
inline constexpr std::size_t kMaxPointerDepth = 8;
inline constexpr std::size_t kMaxPlans = 256;
inline constexpr std::size_t kMaxNameBytes = 256;             // of a plan or tenant, for people
inline constexpr std::size_t kMaxStripeEventNameBytes = 100;  // Stripe's own limit

// Time (seconds).
inline constexpr std::int64_t kDedupHorizonSeconds = 35 * 86'400;
inline constexpr std::int64_t kFutureBoundSeconds = 300;
inline constexpr std::int64_t kMaxDedupHorizonSeconds = 21'000'000;
inline constexpr std::int64_t kMaxFutureBoundSeconds = 86'400;
inline constexpr std::int64_t kDaySeconds = 86'400;
// That a partition may lag behind another by the log's clock and what it hands off still be told
// from a copy: so much longer the others remember. Also in 0013_slowest_clock.sql.
inline constexpr std::int32_t kMaxLagDays = 14;
// Since 1970. An event's time: the years 1971 to 9998, so that the days, months and windows that
// hold it, in any time zone, lie in the years 1970 to 9999, which is what can be written.
inline constexpr std::int64_t kFirstEventSeconds = 31'536'000;          // 1971-01-01T00:00:00Z
inline constexpr std::int64_t kEndOfEventsSeconds = 253'370'764'800;    // 9999-01-01T00:00:00Z
inline constexpr std::int64_t kEndOfYear9999Seconds = 253'402'300'800;  // 10000-01-01T00:00:00Z
// Of any local date from UTC. No place is further than 16 h (Alaska's and Manila's dates changed
// sides of the date line), and a jump of clocks moves the begin of a day by a day at most.
inline constexpr std::int64_t kMaxZoneShiftSeconds = 2 * kDaySeconds;

// One commit of the aggregator.
inline constexpr std::int64_t kMaxRecordsPerCommit = 750'000;
// Rows of the totals: windows, and values of unique counts. And as many as what comes last brings:
// a poll's records, or those of a handoff row, times the meters that read them.
inline constexpr std::size_t kMaxRowsPerCommit = 450'000;
// The texts that name its windows, and those of events that turned out to be copies or late: they
// are read before that is known. And what comes last brings, as above.
inline constexpr std::size_t kMaxTextBytesPerCommit = 64UL * 1024 * 1024;
// The verdict of a replayed record is a row, without bytes, past both: the records of a handoff
// block at most, for a plan that has as many rows takes no further block.
inline constexpr std::int64_t kMaxRejectRowsPerCommit = 20'000;
inline constexpr std::int64_t kMaxRejectBytesPerCommit = 64 * 1024 * 1024;
// What workers of one process commit together, beyond what one of them may by itself.
inline constexpr std::int64_t kMaxRecordsPerTransaction = 4 * kMaxRecordsPerCommit;
// The same rows. Other processes wait for the locks of those that they add to, too.
inline constexpr std::size_t kMaxRowsPerTransaction = 900'000;
inline constexpr std::size_t kMaxTextBytesPerTransaction = 3 * kMaxTextBytesPerCommit;
inline constexpr int kCommitLockSeconds = 20;  // instead of the 5 of all else
// That a worker waits for its last commit when it is told to stop, or gives up partitions.
inline constexpr int kDrainSeconds = 25;
inline constexpr std::size_t kMaxRejectRowsPerTransaction = kMaxRejectRowsPerCommit;  // and ranges
inline constexpr std::int64_t kMaxBytesPerTransaction = 64 * 1024 * 1024;  // of rejects, handoffs
inline constexpr int kMaxPartitions = 1024;
// Combinations of dimensions of a tenant and meter in a month (UTC): events of further ones are
// counted under {"*":"overflow"}. And how many an owner keeps in memory.
inline constexpr std::int64_t kMaxDimensionCombinations = 10'000;
inline constexpr std::size_t kMaxRememberedCombinations = 1'000'000;
// Commits of a partition after which its small dedup segments are joined.
inline constexpr std::int64_t kSegmentsPerRollUp = 64;
// Records on their way to their home: a block is closed at the first size, one read takes the
// second.
inline constexpr std::size_t kMaxHandoffBlockBytes = 1024 * 1024;
inline constexpr std::int64_t kMaxHandoffBytesPerCommit = 64 * 1024 * 1024;
inline constexpr std::size_t kMaxHandoffReadBytes = 32 * 1024 * 1024;
// Records to which one `tally-admin log-time set` applies: a digit too many must not hold a
// partition's clock for good.
inline constexpr std::int64_t kMaxCeilingRecords = 1'000'000'000;

// The producer's spool. What is offered and not yet fsynced lies in memory; the in-flight bound is
// a power of two, for it is the size of a ring.
inline constexpr std::uint64_t kMinSpoolSegmentBytes = 4ULL * 1024 * 1024;
inline constexpr std::uint64_t kSpoolSegmentBytes = 64ULL * 1024 * 1024;
inline constexpr std::uint64_t kMaxSpoolSegmentBytes = 1024ULL * 1024 * 1024;
inline constexpr std::uint64_t kSpoolBytes = 4096ULL * 1024 * 1024;
inline constexpr std::size_t kMaxSpoolPendingBytes = 32UL * 1024 * 1024;
inline constexpr std::size_t kMaxSpoolRecordsPerWrite = 65'535;
inline constexpr std::size_t kMaxSpoolRecordsInFlight = 131'072;
inline constexpr std::uint64_t kMaxSpoolRefusedBytes = 64ULL * 1024 * 1024;
// What Kafka puts around an event: the batch's and the record's header, the content type.
inline constexpr std::size_t kMaxKafkaEnvelopeBytes = 512;
inline constexpr std::size_t kMaxSpoolEventBytes = kMaxRecordBytes - kMaxKafkaEnvelopeBytes;
// A place of the disk that cannot be read is tried so often, some ten minutes, before it is lost.
inline constexpr std::size_t kMaxSpoolReadTries = 80;

// The producer's HTTP daemon. An event keeps below what the topic takes, its key, its time where it
// has none and the batch's own words beside it; else the broker would refuse what was accepted.
inline constexpr std::size_t kMaxServedEventBytes = kMaxRecordBytes - 4096;
inline constexpr std::size_t kMaxServedBatchEvents = 100'000;
inline constexpr std::size_t kMaxRequestsInFlight = 65'536;

// Records of a file that may be read behind the oldest one that is not acked yet.
inline constexpr std::size_t kMaxPublishedBehindOldest = 1'000'000;

// The plans of two workers go together, unless what came last was large.
static_assert(kMaxRowsPerTransaction >= 2 * kMaxRowsPerCommit);
// What a commit waits for is done by then: a row takes some 5 us, and so do those of its day, month
// and billing period.
static_assert(kMaxRowsPerTransaction * (1 + 3) * 5 < kCommitLockSeconds * 1'000'000);
// A drain outlasts the longest wait for a lock, and has time for the commit behind it.
static_assert(kDrainSeconds >= kCommitLockSeconds + 5);
// A transaction's sums of values never leave Decimal's 38 digits: records × the largest value fits.
inline constexpr Int128 kMaxDecimalUnits = (static_cast<Int128>(10'000'000'000'000'000'000ULL) *
                                            static_cast<Int128>(10'000'000'000'000'000'000ULL)) -
                                           1;
static_assert(kMaxValueUnits * kMaxRecordsPerTransaction / kMaxRecordsPerTransaction ==
              kMaxValueUnits);
static_assert(kMaxValueUnits * kMaxRecordsPerTransaction <= kMaxDecimalUnits);
// A rejected record is kept whole, so one always fits the budget of a commit.
static_assert(kMaxRejectBytesPerCommit >= static_cast<std::int64_t>(2 * kMaxRecordBytes));
static_assert(kMaxDataBytes < kMaxRecordBytes);
// An event in a queue, its attributes escaped and its own words beside them, is at most a third of
// it: it fits an empty one wherever it begins.
static_assert(kMinQueueBytes >= 3 * (kMaxDataBytes + 1024 +
                                     2 * (kMaxRequestIdBytes + kMaxSourceBytes +
                                          kMaxEventTypeBytes + kMaxTenantIdBytes)));
// A read always takes at least one block, and the largest block is one record past its bound.
static_assert(kMaxHandoffReadBytes >= kMaxHandoffBlockBytes + 2 * kMaxRecordBytes);
// The largest record fits the smallest segment, four segments the default spool; a place within a
// segment is told in 32 bits, a place within a write in 16.
static_assert(kMinSpoolSegmentBytes >= 2 * (kMaxRecordBytes + kMaxRequestIdBytes));
static_assert(kMinSpoolSegmentBytes <= kSpoolSegmentBytes);
static_assert(kSpoolSegmentBytes <= kMaxSpoolSegmentBytes);
static_assert(kMaxSpoolSegmentBytes <= 0xffff'ffffULL);
static_assert(kSpoolBytes >= 4 * kSpoolSegmentBytes);
static_assert(kMaxSpoolPendingBytes >= 2 * kMaxRecordBytes);
static_assert(kMaxSpoolRecordsPerWrite <= 0xffff);
// Any refused event has room in an empty file, were each byte of it escaped.
static_assert(kMaxSpoolRefusedBytes >= 8 * kMaxRecordBytes);
static_assert((kMaxSpoolRecordsInFlight & (kMaxSpoolRecordsInFlight - 1)) == 0);
// Whatever fits the client library's queue may also come over HTTP; and what is added to an event
// is its key, a time with its name, and less than a kilobyte of Kafka's.
static_assert(kMaxServedEventBytes > 2 * kMaxDataBytes);
static_assert(kMaxServedEventBytes + kMaxRequestIdBytes + 64 + 1024 <= kMaxRecordBytes);
static_assert(kMaxServedEventBytes + kMaxRequestIdBytes + 64 <= kMaxSpoolEventBytes);
// An event's place in its batch is told in 17 bits, its request in 16; 31 are left to tell requests
// in the same place from each other.
static_assert(kMaxServedBatchEvents <= 1U << 17U && kMaxRequestsInFlight <= 1U << 16U);
// The longest span is a month: what holds an event begins a month and a shift before it at most.
static_assert(kFirstEventSeconds - 31 * kDaySeconds - kMaxZoneShiftSeconds >= 0);
static_assert(kEndOfEventsSeconds + 31 * kDaySeconds + kMaxZoneShiftSeconds <=
              kEndOfYear9999Seconds);

}  // namespace tally::core
