#include "tests/simulation/fiber.h"

#include "core/check.h"

#include <cxxabi.h>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>

#include <cstring>
#include <utility>
#include <vector>

namespace tally::simulation {

namespace {

namespace context = boost::context;

constexpr std::size_t kStackBytes = 256UL * 1024;

// Stacks are used again: a schedule starts hundreds of fibers.
class StackPool {
 public:
  context::stack_context allocate() {
    if (free().empty()) return context::protected_fixedsize_stack(kStackBytes).allocate();
    const context::stack_context stack = free().back();
    free().pop_back();
    return stack;
  }
  void deallocate(context::stack_context& stack) noexcept { free().push_back(stack); }

 private:
  static std::vector<context::stack_context>& free() {
    static std::vector<context::stack_context> stacks;
    return stacks;
  }
};

// What the C++ runtime keeps per thread of exceptions under way (two words by the Itanium ABI): a
// fiber that gives way inside a catch block or a destructor takes its own along.
struct ExceptionsUnderWay {
  void* caught = nullptr;
  unsigned int uncaught = 0;
};

ExceptionsUnderWay exchange_exceptions(const ExceptionsUnderWay& next) {
  ExceptionsUnderWay before;
  void* globals = abi::__cxa_get_globals();
  std::memcpy(&before, globals, sizeof(before));
  std::memcpy(globals, &next, sizeof(next));
  return before;
}

}  // namespace

struct Fiber::Context {
  context::fiber self;
  context::fiber scheduler;
};

Fiber::Fiber(std::shared_ptr<Process> process, std::function<void()> body)
    : process_(std::move(process)), body_(std::move(body)), context_(std::make_unique<Context>()) {
  context_->self =
      context::fiber(std::allocator_arg, StackPool(), [this](context::fiber&& scheduler) {
        context_->scheduler = std::move(scheduler);
        try {
          body_();
        } catch (const Crashed&) {
          // The process is gone; so is what it knew.
        }
        done_ = true;
        return std::move(context_->scheduler);
      });
}

Fiber::~Fiber() { TALLY_CHECK(done_, "a fiber was destroyed before it ended"); }

void Fiber::resume() {
  TALLY_CHECK(!done_);
  const ExceptionsUnderWay own = exchange_exceptions({});
  context_->self = std::move(context_->self).resume();
  exchange_exceptions(own);
}

void Fiber::give_way() {
  const ExceptionsUnderWay own = exchange_exceptions({});
  context_->scheduler = std::move(context_->scheduler).resume();
  exchange_exceptions(own);
}

}  // namespace tally::simulation
