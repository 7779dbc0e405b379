# frozen_string_literal: true

module LambdaErrors
  # What a caller and the log are told of an exception. `classification`: Function or Init.
  class Failure
    FRAMES_MAX = 100
    OWN_FOLDER = "#{__dir__}/"
    NAMED = %w[ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError].freeze

    attr_reader :told

    def initialize(error, classification)
      @class_name = error.class.to_s
      @type = "#{classification}<#{@class_name}>"
      @told = { errorMessage: text_of(error), errorType: @type, stackTrace: frames(error) }
    end

    # A service that counts errors is told of the plain ones by name.
    def header
      NAMED.include?(@class_name) ? @type : 'Function<UserException>'
    end

    def to_json(*)
      @to_json ||= JSON.generate(@told)
    end

    private

    def text_of(error)
      error.message.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end

    # The function's frames: below its first there is only this folder's.
    def frames(error)
      (error.backtrace_locations || []).first(FRAMES_MAX).map { |place| place.to_s.scrub }
                                       .reject { |place| place.start_with?(OWN_FOLDER) || place == 'ruby' }
    end
  end
end
