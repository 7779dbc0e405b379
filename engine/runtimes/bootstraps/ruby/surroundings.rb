# frozen_string_literal: true

module EngineRuntime
  # A function's variables, folder, libraries and gems.
  module Surroundings
    class << self
      # The handler's name. `assignment`: what the Runtime API says that this process is to be.
      def enter(assignment)
        task_root = assignment['task_root']
        # A process under a wrapper was started with all of them, and what that has made of them holds.
        ENV.replace(assignment['variables']) unless assignment['variables'].key?('AWS_LAMBDA_EXEC_WRAPPER')
        Dir.chdir(task_root)
        $PROGRAM_NAME = '/var/runtime/bootstrap'
        add_libraries(task_root)
        add_gems
        assignment['handler']
      end

      private

      # The code first, then RUBYLIB, which the interpreter knows only if it was there at its start.
      def add_libraries(task_root)
        folders = [task_root, *ENV.fetch('RUBYLIB', '').split(':').reject(&:empty?)].uniq
        $LOAD_PATH.replace(folders + ($LOAD_PATH.map(&:to_s) - folders))
      end

      # Those of GEM_PATH, then what this Ruby was installed with.
      def add_gems
        return unless defined?(Gem)

        given = ENV.fetch('GEM_PATH', '').split(':').reject(&:empty?)
        own = Gem.default_path - [Gem.user_dir]
        paths = { 'GEM_HOME' => ENV['GEM_HOME'], 'GEM_PATH' => (given + own).uniq.join(':') }.compact
        Gem.clear_paths
        Gem.paths = paths
      end
    end
  end
end
