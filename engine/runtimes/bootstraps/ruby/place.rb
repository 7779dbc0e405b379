# frozen_string_literal: true

module EngineRuntime
  # This process's own place in the region that it shares with the engine: events and answers without anybody between.
  #
  # It stands in for the channel once that has served an invocation. What it does is in a library that is compiled with
  # the engine (ext/place/place.c); where that cannot be loaded (a Ruby without fiddle), the channel serves on.
  class Place
    TAKEN = 1
    NOTHING_YET = 0
    TO_END = -1
    TOLD_BYTES = 160 # told_t of place.c
    TOLD = 'Q<6A36A74'
    BESIDE = {
      'client_context' => 'lambda-runtime-client-context',
      'identity' => 'lambda-runtime-cognito-identity',
      'tenant_id' => 'lambda-runtime-aws-tenant-id',
      'trace_id' => 'lambda-runtime-trace-id'
    }.freeze

    # Loads the library ahead of its first use: its functions, or nil where there are none.
    def self.preload
      return @library if defined?(@library)

      quietly { require 'fiddle' }
      file = Dir.glob(File.join(File.dirname(__dir__), 'place.*so')).first
      @library = file && functions_of(Fiddle.dlopen(file))
    rescue LoadError # without fiddle
      @library = nil
    rescue Fiddle::DLError # of another C library
      @library = nil
    end

    # Without the words on a gem that is to leave Ruby's own: they would stand in the function's log.
    def self.quietly
      verbose, $VERBOSE = $VERBOSE, nil
      yield
    ensure
      $VERBOSE = verbose
    end

    def self.functions_of(library)
      pointer, long, int = Fiddle::TYPE_VOIDP, Fiddle::TYPE_LONG_LONG, Fiddle::TYPE_INT
      { take_place: [int], next_invocation: [pointer], put_answer: [pointer, long, pointer] }.to_h do |name, takes|
        [name, Fiddle::Function.new(library[name.to_s], takes, int)]
      end
    end

    # Who serves from the second invocation on, of the function of this name.
    def self.take_over(channel, arn)
      library = preload
      number = library && channel.finish
      number && library[:take_place].call(number) == 1 ? new(library, arn) : channel
    end

    def initialize(library, arn)
      @library = library
      @arn = arn
      @told = Fiddle::Pointer.malloc(TOLD_BYTES, Fiddle::RUBY_FREE)
      @posted = nil
    end

    # As the channel's.
    def next
      finish
      nil while (taken = @library[:next_invocation].call(@told)) == NOTHING_YET
      exit!(0) if taken == TO_END
      check(taken)
      event_at, beside_at, event_length, beside_length, deadline_ms, _, id, trace = @told[0, TOLD_BYTES].unpack(TOLD)
      headers = {
        'lambda-runtime-aws-request-id' => id.force_encoding(Encoding::UTF_8),
        'lambda-runtime-deadline-ms' => deadline_ms.to_s,
        'lambda-runtime-invoked-function-arn' => @arn,
        'lambda-runtime-trace-id' => trace.force_encoding(Encoding::UTF_8)
      }
      add(headers, text_at(beside_at, beside_length)) if beside_length.positive?
      [headers, text_at(event_at, event_length)]
    end

    def answer(_, body, _)
      @posted = [body, nil]
    end

    def fail(_, body, error_type)
      @posted = [body, "#{error_type}\0"]
    end

    def finish
      return unless @posted

      (body, error_type), @posted = @posted, nil
      check(@library[:put_answer].call(body, body.bytesize, error_type))
    end

    private

    def text_at(address, length)
      Fiddle::Pointer.new(address)[0, length].force_encoding(Encoding::UTF_8)
    end

    def add(headers, document)
      beside = JSON.parse(document)
      BESIDE.each { |name, header| headers[header] = beside[name] if beside[name] }
    end

    def check(result)
      raise SystemCallError.new('the region that is shared with the engine', -result) if result.negative?
    end
  end
end
